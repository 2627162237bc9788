/** What the service says in words, as it is shown: errors and hints come as parts of sentences. */

/** With a capital letter; what is code keeps its own. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** With its full stop, which most come without. */
export function sentence(text: string): string {
  return `${text.replace(/\.$/, '')}.`;
}

/** What failed and what to try, as two sentences. */
export function inWords({ what, hint }: { what: string; hint: string }): string {
  return `${sentence(what)} ${capital(hint)}`;
}

export interface Words {
  readonly text: string;
  readonly code: boolean;
}

/** The text without its backticks, and what stood between them as code. */
export function wordsOf(text: string): Words[] {
  return text
    .split(/`([^`]+)`/)
    .map((part, at) => ({ text: part, code: at % 2 === 1 }))
    .filter((part) => part.text !== '');
}
