/** Keys that do something: single ones unless somebody is typing, and `Ctrl+…`, which is Cmd too. */

/** What a key does; with `false` it leaves the key to the browser. */
export type Keys = Record<string, (event: KeyboardEvent) => unknown>;

export interface KeyHelp {
  keys: string[];
  does: string;
  where: 'everywhere' | 'lists' | 'build';
}

export const KEY_HELP: readonly KeyHelp[] = [
  { keys: ['?'], does: 'this list', where: 'everywhere' },
  { keys: ['/'], does: 'filter, or search the log', where: 'everywhere' },
  { keys: ['g', 'G'], does: 'top and end', where: 'everywhere' },
  { keys: ['j', 'k'], does: 'next and previous row', where: 'lists' },
  { keys: ['Enter'], does: 'open it', where: 'lists' },
  { keys: ['[', ']'], does: 'older and newer build of this branch', where: 'build' },
  { keys: ['j', 'k'], does: 'down and up a line', where: 'build' },
  { keys: ['↑', '↓'], does: 'the line number above and below', where: 'build' },
  { keys: ['Shift+↑', '↓'], does: 'mark lines up to the one above or below', where: 'build' },
  { keys: ['Shift+click'], does: 'on a line number: mark lines up to it', where: 'build' },
  { keys: ['Enter'], does: 'in the search: next match', where: 'build' },
  { keys: ['Shift+Enter'], does: 'in the search: previous match', where: 'build' },
  { keys: ['n', 'N'], does: 'next and previous match', where: 'build' },
  { keys: ['F3', 'Shift+F3'], does: 'the same, also in the search', where: 'build' },
  { keys: ['Ctrl+F'], does: 'search the log; once more: the page', where: 'build' },
  { keys: ['e', 'E'], does: 'next and previous error', where: 'build' },
  { keys: [':'], does: 'go to a line', where: 'build' },
  { keys: ['f', 'End'], does: 'follow the end', where: 'build' },
  { keys: ['w'], does: 'wrap long lines', where: 'build' },
  { keys: ['t'], does: 'times: none, since the start, by the clock', where: 'build' },
  { keys: ['z', 'Z'], does: 'fold this step, or all', where: 'build' },
  { keys: ['Escape'], does: 'close the search, or select nothing', where: 'build' },
];

/** Keys that are of no use in a field. */
const TYPES_NOTHING = /^(?:Ctrl\+.|F\d+)$/;

/** Listens until the returned function is called. */
export function onKeys(keys: Keys): () => void {
  const listen = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.altKey || document.querySelector('dialog[open]')) return;
    const key = event.ctrlKey || event.metaKey ? `Ctrl+${event.key}` : event.key;
    if (isTyping(event.target) && !TYPES_NOTHING.test(key)) return;
    const act = keys[key];
    if (act && act(event) !== false) event.preventDefault();
  };
  addEventListener('keydown', listen);
  return () => removeEventListener('keydown', listen);
}

/** Keys of a page that is a list. */
export function onListKeys(move: (rows: 1 | -1) => void): () => void {
  return onKeys({
    j: () => move(1),
    k: () => move(-1),
    g: () => scrollTo(0, 0),
    G: () => scrollTo(0, document.documentElement.scrollHeight),
  });
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches('input, textarea, select');
}
