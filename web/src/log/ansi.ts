/**
 * One line of a log, as a terminal would show it: colours and weights from SGR sequences, overwriting by
 * carriage return, backspace and the cursor movements within a line that progress bars use. Sequences that
 * mean nothing within one line are left out.
 */
import { applySgr, PLAIN, type Style } from './sgr';
import { charWidth, TAB_STOP } from './widths';

export interface Span {
  /** Where it begins in the line's text. */
  readonly from: number;
  readonly text: string;
  readonly style: Style;
}

export interface ShownLine {
  /** What is to be seen, tabs kept: what a reader selects and copies. */
  readonly text: string;
  /** The same text in runs of one style each. */
  readonly spans: readonly Span[];
  /** In force after the line, and so at the start of the next. */
  readonly style: Style;
  /** For each UTF-16 unit of `text`, where in the line as it came it stands; null: at the same place. */
  readonly sources: Int32Array | null;
}

/** The cursor moves no further than this beyond the text: a number in a sequence must not fill the memory. */
export const MAX_COLUMNS = 4_096;
/**
 * Cells of one line that moving, erasing and deleting go through at most: few bytes can ask for many. What of it
 * comes after that has no effect; no program that draws for a reader comes near.
 */
const MAX_WORK = 250_000;

const ESC = '\x1b';
// Control characters, DEL and the C1 controls: what a line without any of them is needs no second look.
// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/;

export function parseLine(raw: string, start: Style = PLAIN): ShownLine {
  // The carriage return of a `\r\n` moves nothing that is seen; most logs have them everywhere or nowhere.
  const text = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
  if (!CONTROL.test(text)) {
    return { text, spans: text === '' ? [] : [{ from: 0, text, style: start }], style: start, sources: null };
  }
  const line = new TerminalLine(start);
  line.write(text);
  return line.shown();
}

/** The style after a line, when only that is of interest: many lines are passed over for each one shown. */
export function styleAfter(text: string, start: Style): Style {
  let at = text.indexOf(ESC);
  let style = start;
  while (at !== -1) {
    const sequence = readEscape(text, at);
    if (sequence.final === 'm' && sequence.kind === 'csi') style = applySgr(style, sequence.parameters);
    at = text.indexOf(ESC, sequence.end);
  }
  return style;
}

// eslint-disable-next-line no-control-regex
const BROKEN = /\x1b(?:|\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*|[()*+#%])$/;

/** Where a sequence begins that the text's end cuts off; the text's length if there is none. */
export function brokenSequenceAt(text: string): number {
  const at = text.search(BROKEN);
  return at === -1 ? text.length : at;
}

/** Cells of a terminal's row. A tab or a wide character is in its first cell; the cells after it are empty. */
class TerminalLine {
  private readonly cells: string[] = [];
  private readonly styles: Style[] = [];
  private readonly sources: number[] = [];
  private column = 0;
  private work = 0;

  constructor(private style: Style) {}

  write(text: string): void {
    let at = 0;
    while (at < text.length) {
      const code = text.charCodeAt(at);
      if (code === 0x1b) {
        const sequence = readEscape(text, at);
        if (sequence.kind === 'csi') this.control(sequence.final, sequence.parameters);
        at = sequence.end;
      } else if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) {
        this.controlCharacter(code, at);
        at += 1;
      } else {
        const point = text.codePointAt(at) ?? code;
        const length = point > 0xffff ? 2 : 1;
        this.put(text.slice(at, at + length), charWidth(point), at);
        at += length;
      }
    }
  }

  shown(): ShownLine {
    const spans: Span[] = [];
    let begin = 0;
    let from = 0;
    for (let at = 1; at <= this.cells.length; at++) {
      if (at < this.cells.length && this.styles[at] === this.styles[begin]) continue;
      const text = this.cells.slice(begin, at).join('');
      if (text !== '') spans.push({ from, text, style: this.styles[begin] ?? PLAIN });
      from += text.length;
      begin = at;
    }
    const text = this.cells.join('');
    const sources = new Int32Array(text.length);
    let unit = 0;
    for (const [at, { length }] of this.cells.entries()) {
      sources.fill(this.sources[at] ?? 0, unit, unit + length);
      unit += length;
    }
    return { text, spans, style: this.style, sources };
  }

  private put(character: string, width: number, source: number): void {
    if (width === 0) return this.combine(character);
    this.work += Math.max(0, this.column - this.cells.length);
    while (this.cells.length < this.column) this.set(this.cells.length, ' ', PLAIN, source);
    for (let cell = 0; cell < width; cell++) {
      this.free(this.column);
      this.set(this.column, cell === 0 ? character : '', this.style, source);
      this.column += 1;
    }
  }

  /** Accents and joiners belong to the character before them. */
  private combine(mark: string): void {
    let at = Math.min(this.column, this.cells.length) - 1;
    while (at > 0 && this.cells[at] === '') at -= 1;
    const base = this.cells[at];
    if (base !== undefined && base !== '\t') this.cells[at] = base + mark;
  }

  private set(column: number, character: string, style: Style, source: number): void {
    this.cells[column] = character;
    this.styles[column] = style;
    this.sources[column] = source;
  }

  /** What covers several cells and is overwritten in one of them leaves blanks in the others. */
  private free(column: number): void {
    if (column >= this.cells.length) return;
    let first = column;
    while (first > 0 && this.cells[first] === '') first -= 1;
    if (first === column && this.cells[column + 1] !== '') return;
    this.cells[first] = ' ';
    for (let at = first + 1; this.cells[at] === ''; at++) this.cells[at] = ' ';
  }

  private controlCharacter(code: number, source: number): void {
    if (code === 0x0d) this.column = 0;
    else if (code === 0x08) this.column = Math.max(0, this.column - 1);
    else if (code === 0x09) this.tab(source);
    else if (code === 0x07) return;
    else if (code < 0x20) this.put(String.fromCharCode(0x2400 + code), 1, source);
    else this.put(code === 0x7f ? '\u2421' : '\ufffd', 1, source);
  }

  /** Text that a tab passes over stays. */
  private tab(source: number): void {
    const target = (Math.floor(this.column / TAB_STOP) + 1) * TAB_STOP;
    const isFresh = this.column >= this.cells.length;
    if (isFresh) this.put('\t', 1, source);
    while (this.column < target) {
      if (this.column >= this.cells.length) this.set(this.column, isFresh ? '' : ' ', this.style, source);
      this.column += 1;
    }
  }

  private control(final: string, parameters: string): void {
    const first = Number.parseInt(parameters, 10);
    const count = Number.isNaN(first) || first === 0 ? 1 : first;
    if (final === 'm') this.style = applySgr(this.style, parameters);
    else if (this.work > MAX_WORK) return;
    else if (final === 'K') this.erase(Number.isNaN(first) ? 0 : first);
    else if (final === 'G' || final === '`') this.moveTo(count - 1);
    else if (final === 'C') this.moveTo(this.column + count);
    else if (final === 'D') this.moveTo(this.column - count);
    else if (final === 'P') this.deleteCells(count);
    else if (final === 'X') this.blank(this.column, this.column + count);
  }

  private moveTo(column: number): void {
    this.column = Math.max(0, Math.min(Math.max(MAX_COLUMNS, this.column, this.cells.length), column));
  }

  private erase(mode: number): void {
    if (mode === 0) this.truncate(this.column);
    else if (mode === 1) this.blank(0, this.column + 1);
    else if (mode === 2) this.truncate(0);
  }

  private truncate(length: number): void {
    if (this.cells.length <= length) return;
    this.free(length);
    this.cells.length = this.styles.length = this.sources.length = length;
  }

  private blank(from: number, to: number): void {
    const end = Math.min(to, this.cells.length);
    this.work += Math.max(0, end - from);
    for (let at = from; at < end; at++) {
      this.free(at);
      this.set(at, ' ', PLAIN, this.sources[at] ?? 0);
    }
  }

  private deleteCells(count: number): void {
    this.work += Math.max(0, this.cells.length - this.column);
    this.free(this.column);
    this.free(this.column + count);
    for (const list of [this.cells, this.styles, this.sources]) list.splice(this.column, count);
  }
}

export interface Escape {
  kind: 'csi' | 'other';
  final: string;
  parameters: string;
  /** After the sequence. */
  end: number;
}

function other(end: number): Escape {
  return { kind: 'other', final: '', parameters: '', end };
}

/**
 * Reads the sequence that begins at an ESC, as the service does: C1 controls, such as U+009B for `ESC [`, neither
 * begin nor end one. One that the line cuts off ends with the line.
 */
export function readEscape(text: string, at: number): Escape {
  const next = text[at + 1];
  if (next === '[') return readCsi(text, at + 2);
  // OSC, DCS, SOS, PM, APC: a string up to BEL or ESC \ ; titles and hyperlinks are among them.
  if (next === ']' || next === 'P' || next === 'X' || next === '^' || next === '_') {
    return other(endOfString(text, at + 2));
  }
  // A charset selection has one more character; every other short sequence is ESC and one character.
  if (next === '(' || next === ')' || next === '*' || next === '+' || next === '#' || next === '%') {
    return other(at + (isPrintable(text, at + 2) ? 3 : 2));
  }
  return other(at + (isPrintable(text, at + 1) ? 2 : 1));
}

function isPrintable(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= 0x20 && code <= 0x7e;
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
  return other(at);
}

function endOfString(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === '\x07') return at + 1;
    if (text[at] === ESC) return text[at + 1] === '\\' ? at + 2 : at;
  }
  return text.length;
}
