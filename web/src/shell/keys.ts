/** Keys that do something: single ones unless somebody is typing, those with Ctrl then too. */

/** By the names of keys, as `nameOf` gives them. */
export type Keys = Record<string, (event: KeyboardEvent) => void>;

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
  { keys: ['Ctrl+F'], does: 'search the log; once more: the browser’s own search', where: 'build' },
  { keys: ['Enter'], does: 'in the search: next match', where: 'build' },
  { keys: ['Shift+Enter'], does: 'in the search: previous match', where: 'build' },
  { keys: ['n', 'F3'], does: 'next match', where: 'build' },
  { keys: ['N', 'Shift+F3'], does: 'previous match', where: 'build' },
  { keys: ['e', 'E'], does: 'next and previous error', where: 'build' },
  { keys: [':'], does: 'go to a line', where: 'build' },
  { keys: ['f'], does: 'follow the end', where: 'build' },
  { keys: ['w'], does: 'wrap long lines', where: 'build' },
  { keys: ['t'], does: 'times: none, since the start, by the clock', where: 'build' },
  { keys: ['z', 'Z'], does: 'fold this step, or all', where: 'build' },
  { keys: ['Escape'], does: 'close the search, or select nothing', where: 'build' },
];

/** Listens until the returned function is called. */
export function onKeys(keys: Keys): () => void {
  const listen = (event: KeyboardEvent) => {
    if (event.defaultPrevented || document.querySelector('dialog[open]')) return;
    const name = nameOf(event);
    const act = keys[name];
    if (!act || (isTyping(event.target) && !name.startsWith('Ctrl+'))) return;
    event.preventDefault();
    act(event);
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

/**
 * A key with what is held besides: `f`, `Ctrl+f`, `Shift+F3`. Command is as Ctrl. That Shift is held is told by
 * a character itself, as `F` or `?`, except with Ctrl.
 */
export function nameOf(
  event: Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'metaKey' | 'altKey' | 'shiftKey'>,
): string {
  const isCtrl = event.ctrlKey || event.metaKey;
  const isCharacter = event.key.length === 1;
  const held = [
    isCtrl ? 'Ctrl+' : '',
    event.altKey ? 'Alt+' : '',
    event.shiftKey && (isCtrl || !isCharacter) ? 'Shift+' : '',
  ];
  // Caps Lock makes no other key of it.
  return held.join('') + (isCtrl && isCharacter ? event.key.toLowerCase() : event.key);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches('input, textarea, select');
}
