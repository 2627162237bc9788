/**
 * What a line looks like that tells of an error. One expression, which the service looks for in the whole log
 * and the page in the lines on screen: it is written in what the regular expressions of Rust and of JavaScript
 * have in common, applies to lines without their escape sequences, and takes time linear in a line's length in
 * JavaScript too, so that both look at all of it.
 */
import type { LogQuery } from '../api/log';
import { withoutSequences } from './plain';

/** Before a word: neither a part of a longer name or option (-Werror) nor a text in quotes. */
const BEFORE = `(?:^|[^A-Za-z0-9_.$"'\`-])`;
/** Not the last words of a summary that counts none. */
const NOT_ZERO = String.raw`(?:\r?$|[^ :=A-Za-z0-9_]|[: ]+[^ :0]|[: ]+0[^ ,;.)\r])`;

const RULES = [
  // The service's own last words, and what stands in its place when the script cannot be run.
  '^==> (?:failed|errored|timed out)',
  '^autobuilder: cannot run ',
  // Compilers, linkers, cargo (error[E0308]:), TypeScript (error TS2304:), pip, configure, modpost.
  String.raw`${BEFORE}(?:error|Error|ERROR|FATAL|fatal)(?:\[E[0-9]+\]| [A-Z]+[0-9]+)?:${NOT_ZERO}`,
  // Exceptions by name.
  String.raw`${BEFORE}[A-Za-z0-9_.]+(?:Error|Exception):`,
  String.raw`^Traceback \(most|^(?:CMake )?Error [a-z]`,
  // make, which says "(ignored)" after an error that it was told to ignore.
  String.raw`make(?:\[[0-9]+\])?: \*\*\* | Error [0-9]+\r?$`,
  // ninja, gradle, cargo test, pytest, unittest.
  String.raw`(?:^|[^A-Za-z0-9_ -]|[^0-9] |[1-9][0-9]{0,5} )FAILED${NOT_ZERO}`,
  String.raw`^E {3,}|^--- FAIL: |panicked at |^panic: `,
  String.raw`^npm (?:ERR!|error) |^\[(?:ERROR|error)|^E: `,
  'undefined reference to |ld: cannot find ',
  // Shells, whose name comes first but for a few words of whatever ran them.
  String.raw`^(?:[^ ]+ ){0,3}[^ ]+: (?:line )?[0-9]+: [^\n]*(?:not found|No such file or directory|Permission denied|unbound variable)\r?$`,
  'command not found|Segmentation fault',
];

export const ERRORS: LogQuery = { text: RULES.join('|'), case: true, regex: true };

const EXPRESSION = new RegExp(ERRORS.text, 'u');

export function isError(raw: string): boolean {
  return EXPRESSION.test(withoutSequences(raw));
}
