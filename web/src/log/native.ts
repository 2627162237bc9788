/** What is selected by the browser's own means, as by a finger, in places of the log. */
import type { LogModel } from './model.svelte';
import type { Place, Selection } from './selection';
import { Grid } from './widths';

export function nativeSelection(within: HTMLElement, model: LogModel): Selection | null {
  const native = document.getSelection();
  if (!native || native.isCollapsed || native.rangeCount === 0) return null;
  const range = native.getRangeAt(0);
  const anchor = placeOf(within, range.startContainer, range.startOffset, model);
  const focus = placeOf(within, range.endContainer, range.endOffset, model);
  return anchor && focus ? { anchor, focus } : null;
}

function placeOf(within: HTMLElement, node: Node, offset: number, model: LogModel): Place | null {
  const element = node instanceof Element ? node : node.parentElement;
  const row = element?.closest<HTMLElement>('[data-line]');
  if (!row || !within.contains(row)) return null;
  const text = row.querySelector<HTMLElement>('.drawn');
  const before = document.createRange();
  before.selectNodeContents(text ?? row);
  if (text?.contains(node)) before.setEnd(node, offset);
  else before.collapse(true);
  // Of a long line only a stretch is drawn.
  const column = Number(text?.dataset['column'] ?? 0) + new Grid(before.toString()).columns;
  return model.placeInRow(Number(row.dataset['line']), Number(row.dataset['part']), column);
}
