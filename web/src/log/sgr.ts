/** Colours and weights: what SGR sequences (`CSI … m`) change. */

/** 0–15 is the terminal's palette, `#rrggbb` any other colour. */
export type Colour = number | string;

export interface Style {
  readonly fg: Colour | null;
  readonly bg: Colour | null;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly italic: boolean;
  readonly underline: boolean;
  readonly overline: boolean;
  readonly strike: boolean;
  readonly inverse: boolean;
  readonly concealed: boolean;
}

export const PLAIN: Style = {
  fg: null,
  bg: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  overline: false,
  strike: false,
  inverse: false,
  concealed: false,
};

export function isSameStyle(one: Style, two: Style): boolean {
  return one === two || (Object.keys(PLAIN) as (keyof Style)[]).every((key) => one[key] === two[key]);
}

/** The style after one SGR sequence, given what stands between `CSI` and `m`. */
export function applySgr(style: Style, parameters: string): Style {
  // Private sequences such as `CSI > 4 ; 2 m` set keyboard modes, not colours.
  if (/[<=>?]/.test(parameters)) return style;
  const list = parameters.split(';');
  let next: Style = style;
  for (let at = 0; at < list.length; at++) {
    const [code = 0, ...details] = (list[at] ?? '').split(':').map(Number);
    if (code === 38 || code === 48 || code === 58) {
      const isWhole = details.length > 0;
      const [colour, used] = readColour(
        isWhole ? channelsOf(details) : list.slice(at + 1, at + 5).map(Number),
      );
      if (code === 38 && colour !== null) next = { ...next, fg: colour };
      if (code === 48 && colour !== null) next = { ...next, bg: colour };
      if (!isWhole) at += used;
    } else if (code === 4) {
      // Of its kinds, such as the curly 4:3, all are drawn as one; 4:0 is none.
      next = { ...next, underline: details[0] !== 0 };
    } else {
      next = { ...next, ...attribute(code) };
    }
  }
  return isSameStyle(next, PLAIN) ? PLAIN : next;
}

/** Without the colour space that may stand before the channels, as in `38:2::r:g:b`. */
function channelsOf(details: number[]): number[] {
  return details[0] === 2 && details.length > 4 ? [2, ...details.slice(2)] : details;
}

function attribute(code: number): Partial<Style> {
  if (code >= 30 && code <= 37) return { fg: code - 30 };
  if (code >= 40 && code <= 47) return { bg: code - 40 };
  if (code >= 90 && code <= 97) return { fg: code - 82 };
  if (code >= 100 && code <= 107) return { bg: code - 92 };
  switch (code) {
    case 0:
      return PLAIN;
    case 1:
      return { bold: true };
    case 2:
      return { dim: true };
    case 3:
      return { italic: true };
    case 21:
      return { underline: true };
    case 7:
      return { inverse: true };
    case 8:
      return { concealed: true };
    case 9:
      return { strike: true };
    case 22:
      return { bold: false, dim: false };
    case 23:
      return { italic: false };
    case 24:
      return { underline: false };
    case 27:
      return { inverse: false };
    case 28:
      return { concealed: false };
    case 29:
      return { strike: false };
    case 39:
      return { fg: null };
    case 49:
      return { bg: null };
    case 53:
      return { overline: true };
    case 55:
      return { overline: false };
    default:
      return {};
  }
}

/** Reads `5;n` or `2;r;g;b`; returns the colour and how many codes it took. */
function readColour([kind, ...values]: number[]): [Colour | null, number] {
  if (kind === 5) return [paletteColour(values[0] ?? 0), 2];
  if (kind !== 2) return [null, 1];
  const [red = 0, green = 0, blue = 0] = values;
  return [hex(red, green, blue), 4];
}

function paletteColour(index: number): Colour | null {
  if (!Number.isInteger(index) || index < 0 || index > 255) return null;
  if (index < 16) return index;
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return hex(grey, grey, grey);
  }
  const cube = index - 16;
  const level = (step: number) => (step === 0 ? 0 : 55 + step * 40);
  return hex(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function hex(...channels: number[]): string {
  const parts = channels.map((channel) => {
    const value = Number.isFinite(channel) ? Math.min(255, Math.max(0, Math.trunc(channel))) : 0;
    return value.toString(16).padStart(2, '0');
  });
  return `#${parts.join('')}`;
}
