/** The browser tab: its title and icon show the state of what is looked at. */
import type { BuildState } from '../api/types';
import { look } from '../model/states';

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

/** A disc in the colour of the state; an open ring while there is none. */
function iconFor(state: BuildState | null): string {
  const tone = state ? look(state).tone : 'quiet';
  const colour = getComputedStyle(document.documentElement).getPropertyValue(`--tab-${tone}`).trim();
  const shape = state
    ? `<circle cx="8" cy="8" r="6" fill="${colour}"/>`
    : `<circle cx="8" cy="8" r="5" fill="none" stroke="${colour}" stroke-width="3"/>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${shape}</svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
