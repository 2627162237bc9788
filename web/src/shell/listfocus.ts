/** Lists are walked through with j and k; the focus goes along, so that Tab and Enter go on from there. */
import { tick } from 'svelte';
import type { Attachment } from 'svelte/attachments';

/**
 * Gives the focus to the link of the selected row, also when the row is made anew, unless the reader has it
 * somewhere else.
 */
export function focusWhen(selected: () => boolean): Attachment<HTMLElement> {
  return (link) => {
    if (!selected()) return;
    // A list that puts its rows in order would take the focus away again.
    void tick().then(() => {
      if (link.isConnected && !isElsewhere(document.activeElement)) link.focus({ preventScroll: true });
    });
  };
}

/** Before another row is selected: the focus is free to go there. */
export function releaseFocus(): void {
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
}

/** The row that the reader came to by Tab: what its list calls it, or null. Clicks do not select. */
export function rowOf(event: FocusEvent): string | null {
  const { target } = event;
  if (!(target instanceof HTMLElement) || !target.matches(':focus-visible')) return null;
  return target.closest<HTMLElement>('[data-row]')?.dataset['row'] ?? null;
}

/** The whole page and its content take the focus in passing only. */
function isElsewhere(focused: Element | null): boolean {
  return focused !== null && focused !== document.body && focused.id !== 'content';
}
