/**
 * Puts text on the clipboard after a click or a key press. Browsers give the modern way to pages of a secure
 * connection only; a copy event works on all.
 */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyByEvent((event) => event.clipboardData?.setData('text/plain', text));
  }
}

/** Has the browser begin to copy, and gives the clipboard to `fill`; false if it refuses. */
export function copyByEvent(fill: (event: ClipboardEvent) => void): boolean {
  let filled = false;
  const copy = (event: ClipboardEvent) => {
    event.preventDefault();
    event.stopImmediatePropagation();
    filled = true;
    fill(event);
  };
  // Without a selection of its own, Chromium copies only if this says that there is something to copy.
  const before = (event: Event) => event.preventDefault();
  document.addEventListener('beforecopy', before, true);
  document.addEventListener('copy', copy, true);
  document.execCommand('copy');
  document.removeEventListener('copy', copy, true);
  document.removeEventListener('beforecopy', before, true);
  return filled;
}
