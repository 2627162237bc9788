/**
 * One line of a log, as a terminal would show it: colours and weights from SGR sequences, overwriting by
 * carriage return, backspace and the cursor movements within a line that progress bars use. Sequences that
 * mean nothing within one line are left out.
 *
 * Our own, because the libraries at hand either make HTML, or emulate a whole screen (which a log of ten
 * million lines is not), or know colours only and break on everything else.
 */

/** 0–15 is the terminal's palette, `#rrggbb` any other colour. */
export type Colour = number | string;

export interface Style {
  readonly fg: Colour | null;
  readonly bg: Colour | null;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly italic: boolean;
  readonly underline: boolean;
  readonly strike: boolean;
  readonly inverse: boolean;
}

export const PLAIN: Style = {
  fg: null,
  bg: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  strike: false,
  inverse: false,
};

export interface Span {
  readonly text: string;
  readonly style: Style;
}

export interface ParsedLine {
  readonly spans: readonly Span[];
  /** In force after the line, and so at the start of the next. */
  readonly style: Style;
}

/** Beyond this column nothing is drawn: a line of megabytes must not stall the page. */
export const MAX_COLUMNS = 16_384;

const ESC = '\x1b';
// Control characters, DEL and the C1 controls: what a line without any of them is needs no second look.
// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/;
const TAB_STOP = 8;

export function parseLine(text: string, start: Style = PLAIN): ParsedLine {
  if (!CONTROL.test(text)) {
    return { spans: text === '' ? [] : [{ text: cut(text), style: start }], style: start };
  }
  const line = new TerminalLine(start);
  line.write(text);
  return { spans: line.spans(), style: line.style };
}

/** The style after a line, when only that is of interest: many lines are passed over for each one shown. */
export function styleAfter(text: string, start: Style): Style {
  if (!text.includes(ESC)) return start;
  let style = start;
  let at = text.indexOf(ESC);
  while (at !== -1) {
    const sequence = readEscape(text, at);
    if (sequence.final === 'm' && sequence.kind === 'csi') style = applySgr(style, sequence.parameters);
    at = text.indexOf(ESC, sequence.end);
  }
  return style;
}

function cut(text: string): string {
  return text.length > MAX_COLUMNS ? text.slice(0, MAX_COLUMNS) : text;
}

class TerminalLine {
  private readonly cells: string[] = [];
  private readonly styles: Style[] = [];
  private column = 0;

  constructor(public style: Style) {}

  write(text: string): void {
    let at = 0;
    while (at < text.length) {
      const code = text.charCodeAt(at);
      if (code === 0x1b || code === 0x9b) {
        const sequence = readEscape(text, at);
        if (sequence.kind === 'csi') this.control(sequence.final, sequence.parameters);
        at = sequence.end;
      } else if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) {
        this.controlCharacter(code);
        at += 1;
      } else {
        const width = code >= 0xd800 && code <= 0xdbff ? 2 : 1;
        this.put(text.slice(at, at + width));
        at += width;
      }
    }
  }

  spans(): Span[] {
    const spans: Span[] = [];
    let begin = 0;
    for (let at = 1; at <= this.cells.length; at++) {
      if (at < this.cells.length && this.styles[at] === this.styles[begin]) continue;
      spans.push({ text: this.cells.slice(begin, at).join(''), style: this.styles[begin] ?? PLAIN });
      begin = at;
    }
    return spans;
  }

  private put(character: string): void {
    if (this.column >= MAX_COLUMNS) return;
    while (this.cells.length < this.column) this.place(this.cells.length, ' ', PLAIN);
    this.place(this.column, character, this.style);
    this.column += 1;
  }

  private place(column: number, character: string, style: Style): void {
    this.cells[column] = character;
    this.styles[column] = style;
  }

  private controlCharacter(code: number): void {
    if (code === 0x0d) this.column = 0;
    else if (code === 0x08) this.column = Math.max(0, this.column - 1);
    else if (code === 0x09) this.tab();
    else if (code === 0x07) return;
    else if (code < 0x20) this.put(String.fromCharCode(0x2400 + code));
    else this.put(code === 0x7f ? '\u2421' : '\ufffd');
  }

  private tab(): void {
    const target = (Math.floor(this.column / TAB_STOP) + 1) * TAB_STOP;
    // Appended spaces, so that overwriting later finds one cell for each column; passing over leaves text.
    while (this.column < target && this.column < MAX_COLUMNS) {
      if (this.column >= this.cells.length) this.place(this.column, ' ', this.style);
      this.column += 1;
    }
  }

  private control(final: string, parameters: string): void {
    const first = Number.parseInt(parameters, 10);
    const count = Number.isNaN(first) || first === 0 ? 1 : first;
    if (final === 'm') this.style = applySgr(this.style, parameters);
    else if (final === 'K') this.erase(Number.isNaN(first) ? 0 : first);
    else if (final === 'G' || final === '`') this.column = clampColumn(count - 1);
    else if (final === 'C') this.column = clampColumn(this.column + count);
    else if (final === 'D') this.column = clampColumn(this.column - count);
    else if (final === 'P') this.deleteCells(count);
    else if (final === 'X') this.blank(this.column, this.column + count);
  }

  private erase(mode: number): void {
    if (mode === 0) this.truncate(this.column);
    else if (mode === 1) this.blank(0, this.column + 1);
    else if (mode === 2) this.truncate(0);
  }

  private truncate(length: number): void {
    if (this.cells.length <= length) return;
    this.cells.length = length;
    this.styles.length = length;
  }

  private blank(from: number, to: number): void {
    for (let at = from; at < Math.min(to, this.cells.length); at++) this.place(at, ' ', PLAIN);
  }

  private deleteCells(count: number): void {
    this.cells.splice(this.column, count);
    this.styles.splice(this.column, count);
  }
}

function clampColumn(column: number): number {
  return Math.min(MAX_COLUMNS, Math.max(0, column));
}

interface Escape {
  kind: 'csi' | 'other';
  final: string;
  parameters: string;
  /** After the sequence. */
  end: number;
}

const NOTHING = { kind: 'other', final: '', parameters: '' } as const;

/** Reads the sequence that begins at an ESC or a C1 CSI. One that the line cuts off ends with the line. */
function readEscape(text: string, at: number): Escape {
  if (text.charCodeAt(at) === 0x9b) return readCsi(text, at + 1);
  const next = text[at + 1];
  if (next === '[') return readCsi(text, at + 2);
  // OSC, DCS, SOS, PM, APC: a string up to BEL or ESC \ ; titles and hyperlinks are among them.
  if (next === ']' || next === 'P' || next === 'X' || next === '^' || next === '_') {
    return { ...NOTHING, end: endOfString(text, at + 2) };
  }
  // A charset selection has one more character; every other short sequence is ESC and one character.
  if (next === '(' || next === ')' || next === '*' || next === '+' || next === '#' || next === '%') {
    return { ...NOTHING, end: Math.min(text.length, at + 3) };
  }
  return { ...NOTHING, end: Math.min(text.length, at + 2) };
}

function readCsi(text: string, from: number): Escape {
  let at = from;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code >= 0x40 && code <= 0x7e) {
      return { kind: 'csi', final: text[at] ?? '', parameters: text.slice(from, at), end: at + 1 };
    }
    // Anything that cannot stand within a sequence ends it; the text after it must not be swallowed.
    if (code < 0x20 || code > 0x3f) break;
    at += 1;
  }
  return { ...NOTHING, end: at };
}

function endOfString(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === '\x07' || text.charCodeAt(at) === 0x9c) return at + 1;
    if (text[at] === ESC) return text[at + 1] === '\\' ? at + 2 : at;
  }
  return text.length;
}

/** The style after one SGR sequence, given what stands between `CSI` and `m`. */
export function applySgr(style: Style, parameters: string): Style {
  // Private sequences such as `CSI > 4 ; 2 m` set keyboard modes, not colours.
  if (/[<=>?]/.test(parameters)) return style;
  const codes = parameters.split(/[;:]/).map((code) => (code === '' ? 0 : Number(code)));
  let next: Style = style;
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at] ?? 0;
    if (code === 38 || code === 48 || code === 58) {
      // With colons there may be an empty colour space before the channels (38:2::r:g:b).
      const spaced = codes[at + 1] === 2 && /^[34]8:2::/.test(parameters);
      const [colour, used] = readColour(codes, at + 1, spaced ? 1 : 0);
      if (code === 38 && colour !== null) next = { ...next, fg: colour };
      if (code === 48 && colour !== null) next = { ...next, bg: colour };
      at += used;
    } else {
      next = { ...next, ...attribute(code) };
    }
  }
  return isPlain(next) ? PLAIN : next;
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
    case 4:
    case 21:
      return { underline: true };
    case 7:
      return { inverse: true };
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
    case 29:
      return { strike: false };
    case 39:
      return { fg: null };
    case 49:
      return { bg: null };
    default:
      return {};
  }
}

/** Reads `5;n` or `2;r;g;b`; returns the colour and how many codes it took. */
function readColour(codes: number[], at: number, skip: number): [Colour | null, number] {
  if (codes[at] === 5) return [paletteColour(codes[at + 1] ?? 0), 2];
  if (codes[at] === 2) {
    const [red = 0, green = 0, blue = 0] = codes.slice(at + 1 + skip);
    return [hex(red, green, blue), 4 + skip];
  }
  return [null, 1];
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

function isPlain(style: Style): boolean {
  return (
    style.fg === null &&
    style.bg === null &&
    !style.bold &&
    !style.dim &&
    !style.italic &&
    !style.underline &&
    !style.strike &&
    !style.inverse
  );
}
