/** The browser tab: its title and icon show the state of what is looked at. */
import type { BuildState } from '../api/types';
import { look, type StateLook } from '../model/states';

const NAME = 'autobuilder';

export function showInTab(state: BuildState | null, subject: string): void {
  document.title = state
    ? `${look(state).sign} ${subject} · ${NAME}`
    : subject
      ? `${subject} · ${NAME}`
      : NAME;
  const icon = document.querySelector<HTMLLinkElement>('link[rel=icon]');
  if (icon) icon.href = iconFor(state);
}

/** What is drawn on the disc, so that the state is not told by colour alone: strokes in a box of 16. */
const GLYPHS: Record<StateLook['tone'], string> = {
  waiting: 'M5 8h.01M8 8h.01M11 8h.01',
  running: 'M8 4.5V8l2.5 1.5',
  good: 'M4.5 8.5 7 11l4.5-5.5',
  bad: 'M5.5 5.5l5 5m0-5l-5 5',
  warn: 'M8 4.5v4m0 3h.01',
  quiet: 'M5 8h6',
};

/** A disc in the colour and with the sign of the state; an open ring while there is none. */
function iconFor(state: BuildState | null): string {
  const tone = state ? look(state).tone : 'quiet';
  const colour = getComputedStyle(document.documentElement).getPropertyValue(`--tab-${tone}`).trim();
  const shape = state
    ? `<circle cx="8" cy="8" r="7.5" fill="${colour}"/><path d="${GLYPHS[tone]}" fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round"/>`
    : `<circle cx="8" cy="8" r="5" fill="none" stroke="${colour}" stroke-width="3"/>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${shape}</svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
