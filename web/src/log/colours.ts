/** A span's colours as CSS. */
import type { Colour, Style } from './sgr';

/** The terminal's sixteen as they are, for where a log sets the ground: theme colours would not go with it. */
const FIXED = [
  '#000000',
  '#c3362b',
  '#2f8f3f',
  '#b58900',
  '#2f6fd0',
  '#a347ba',
  '#1f8fa3',
  '#d6d9dc',
  '#6b7178',
  '#f0564a',
  '#4fc466',
  '#f0c23c',
  '#6ca6ff',
  '#d77fe6',
  '#45c8dc',
  '#ffffff',
];

export interface SpanColours {
  readonly text: string | null;
  readonly ground: string | null;
}

export function spanColours({ fg, bg, inverse }: Style): SpanColours {
  if (inverse && fg === null && bg === null) return { text: 'var(--surface)', ground: 'var(--text)' };
  const [text, ground] = inverse ? [bg, fg] : [fg, bg];
  if (ground === null) return { text: text === null ? null : onSurface(text), ground: null };
  return { text: text === null ? legibleOn(fixed(ground)) : fixed(text), ground: fixed(ground) };
}

/** The palette is ours to choose; other colours are moved in lightness as far as legibility asks. */
function onSurface(colour: Colour): string {
  if (typeof colour === 'number') return `var(--ansi-${colour})`;
  return `light-dark(oklch(from ${colour} min(l, 0.54) c h), oklch(from ${colour} max(l, 0.66) c h))`;
}

function fixed(colour: Colour): string {
  return typeof colour === 'number' ? (FIXED[colour] ?? '#000000') : colour;
}

/** Black or white, whichever has more contrast by WCAG's relative luminance. */
function legibleOn(ground: string): string {
  const channel = (from: number) => (Number.parseInt(ground.slice(from, from + 2), 16) / 255) ** 2.2;
  const luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
  return luminance > 0.18 ? '#000000' : '#ffffff';
}
