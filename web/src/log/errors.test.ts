import { describe, expect, it } from 'vitest';
import { ERRORS, isError } from './errors';
import { MAX_LINE_LENGTH } from './lines';

describe('errors are found in what these print', () => {
  it.each([
    ['the service', '==> failed: exit code 2 after 41 s'],
    ['the service', '==> timed out: not done after 45 min'],
    ['the service', 'autobuilder: cannot run ./build.sh: there is no such file'],
    ['gcc', "main.c:3:5: error: 'x' undeclared (first use in this function)"],
    ['gcc', 'main.c:1:10: fatal error: zlib.h: No such file or directory'],
    ['gcc in colour', '\x1b[01m\x1b[Kmain.c:3:5:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kbad'],
    ['clang in colour', '\x1b[1mmain.c:3:5: \x1b[0m\x1b[0;1;31merror: \x1b[0m\x1b[1muse of x\x1b[0m'],
    ['gcc, treated as error', "a.c:1:1: error: unused variable 'x' [-Werror=unused-variable]"],
    ['ld', "/usr/bin/ld: main.o: in function `main': main.c:(.text+0x5): undefined reference to `f'"],
    ['ld', '/usr/bin/ld: cannot find -lssl: No such file or directory'],
    ['collect2', 'collect2: error: ld returned 1 exit status'],
    ['lld', 'ld.lld: error: undefined symbol: f'],
    ['make', 'make: *** [Makefile:10: all] Error 2'],
    ['make', "make[1]: *** No rule to make target 'x'.  Stop."],
    ['cargo', 'error: could not compile `app` (bin "app") due to 1 previous error'],
    ['cargo', 'error[E0308]: mismatched types'],
    [
      'cargo in colour',
      '\x1b[0m\x1b[1m\x1b[38;5;9merror[E0308]\x1b[0m\x1b[0m\x1b[1m: mismatched types\x1b[0m',
    ],
    ['cargo test', 'test store::tests::keeps ... \x1b[31mFAILED\x1b[m'],
    ['cargo test', 'test result: FAILED. 3 passed; 1 failed; 0 ignored'],
    ['rust', "thread 'main' panicked at src/main.rs:2:5:"],
    ['npm', 'npm ERR! code ELIFECYCLE'],
    ['npm', 'npm error code 1'],
    ['node', "Error: Cannot find module 'express'"],
    ['node', "TypeError: Cannot read properties of undefined (reading 'x')"],
    ['tsc', "src/a.ts(3,5): error TS2304: Cannot find name 'x'."],
    ['python', 'Traceback (most recent call last):'],
    ['python', "ModuleNotFoundError: No module named 'yaml'"],
    ['pytest', 'E       assert 1 == 2'],
    ['pytest', 'FAILED tests/test_a.py::test_b - assert 1 == 2'],
    ['unittest', 'FAILED (failures=1)'],
    ['go', '--- FAIL: TestStore (0.00s)'],
    ['go', 'panic: runtime error: index out of range'],
    ['ninja', 'FAILED: src/a.o'],
    ['gradle', 'BUILD FAILED in 3s'],
    ['maven', '[\x1b[1;31mERROR\x1b[m] Failed to execute goal'],
    ['cmake', 'CMake Error at CMakeLists.txt:3 (find_package):'],
    ['configure', 'configure: error: no acceptable C compiler found in $PATH'],
    ['apt', 'E: Unable to locate package foo'],
    ['git', "fatal: repository 'x' not found"],
    ['docker', 'Error response from daemon: no such image'],
    ['pip', 'ERROR: Could not find a version that satisfies the requirement x'],
    ['bash', './build.sh: line 3: foo: command not found'],
    ['bash', './build.sh: line 5: cd: /nope: No such file or directory'],
    ['bash', 'build.sh: line 9: VERSION: unbound variable'],
    ['dash', '/bin/sh: 1: flex: not found'],
    ['dash in a container build', '#7 0.345 /bin/sh: 1: flex: not found'],
    ['a compiler with a long command', `${'-I/usr/include '.repeat(1_000)}error: too long`],
    ['ninja with progress', '[1/2] a.c\r[2/2] \x1b[31mFAILED: \x1b[0mb.c'],
    ['a kernel build', 'ERROR: modpost: "foo" [drivers/bar.ko] undefined!'],
    ['a kernel build', 'make[2]: *** [scripts/Makefile.build:243: init/main.o] Error 1\r'],
    ['a shell', 'line 7:  4242 Segmentation fault      (core dumped) ./a.out'],
  ])('%s: %s', (_, line) => {
    expect(isError(line)).toBe(true);
  });
});

describe('these are no errors', () => {
  it.each([
    '0 errors',
    'errors: 0',
    'done, error: 0',
    'failed: 0, error: 0, skipped: 2',
    'gcc -O2 -Wall -Werror -c error.c -o error.o',
    '  CC      lib/error.o',
    'error.c:12: warning: unused variable',
    'checking for strerror... yes',
    'checking for zlib... not found',
    'Compiling thiserror v1.0.50',
    'make: [Makefile:3: clean] Error 1 (ignored)',
    '0 FAILED',
    'tests: 12 PASSED, 0 FAILED',
    'FAILED: 0',
    'FAILED=0',
    'CHECK_FAILED is not set',
    'test result: ok. 12 passed; 0 failed; 0 ignored',
    'test handles_error ... ok',
    'No errors found',
    'using token ***',
    'warning: unused variable',
    '-DERROR_LEVEL=3',
    'printf("error: %s", reason)',
    '==> building',
  ])('%s', (line) => {
    expect(isError(line)).toBe(false);
  });
});

it('is short enough to be asked for', () => {
  expect(new TextEncoder().encode(ERRORS.text).length).toBeLessThanOrEqual(1000);
});

it.each([
  '0123456789',
  ': 1',
  '\x1b[31m',
  '\x1b',
  'a.',
  ' ',
  'x: 1: not found ',
  'a: line 1: ',
  'error: 0',
  '1 ',
  'Error',
])('takes no time for a line full of %j', (text) => {
  const began = performance.now();
  isError(text.repeat(MAX_LINE_LENGTH).slice(0, MAX_LINE_LENGTH));
  expect(performance.now() - began).toBeLessThan(100);
});
