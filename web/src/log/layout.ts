/**
 * Which rows a log has: its lines in order, and before the lines of each step a row that names the step. A step
 * that wrote nothing has none, nor have the lines of a folded one. A row's number (the first is 1) changes with
 * folds and with steps that begin; its key does not.
 */

export interface Section {
  /** Null for lines before the first step. */
  readonly step: number | null;
  /** The first line, from 1. */
  readonly first: number;
  /** The last line; before `first` in a step that wrote nothing. */
  readonly last: number;
}

/** A line's number; or, for the row that names a step, the step's index counted down from -1. */
export type RowKey = number;

export function keyOfStep(step: number): RowKey {
  return -1 - step;
}

export function stepOfKey(key: RowKey): number | null {
  return key < 0 ? -1 - key : null;
}

/** Steps as sections. A step lasts up to the line at which the next one begins. */
export function sectionsOf(begins: readonly number[], total: number): Section[] {
  const sections: Section[] = [];
  const first = begins[0] ?? total + 1;
  if (first > 1) sections.push({ step: null, first: 1, last: Math.min(total, first - 1) });
  begins.forEach((begin, step) => {
    const next = begins[step + 1];
    const last = next === undefined ? total : Math.min(total, next - 1);
    sections.push({ step, first: begin, last: Math.max(begin - 1, last) });
  });
  return sections;
}

export class Layout {
  /** The row before each section's first. */
  private readonly starts: number[] = [];
  readonly rows: number;

  constructor(
    readonly sections: readonly Section[],
    private readonly folded: ReadonlySet<number>,
  ) {
    let rows = 0;
    for (const section of sections) {
      this.starts.push(rows);
      rows += headers(section) + this.shown(section);
    }
    this.rows = rows;
  }

  keyOf(row: number): RowKey {
    const at = this.sectionAtRow(row);
    const section = this.sections[at];
    if (!section) return 1;
    const within = row - (this.starts[at] ?? 0) - headers(section);
    return within < 1 && section.step !== null ? keyOfStep(section.step) : section.first + within - 1;
  }

  /** The row with this key; for a line that is folded away, the row that names its step. */
  rowOf(key: RowKey): number {
    const step = stepOfKey(key);
    const at = step === null ? this.sectionOfLine(key) : this.sections.findIndex((one) => one.step === step);
    const section = this.sections[at];
    if (!section) return 1;
    const start = this.starts[at] ?? 0;
    const isNamed = step !== null || this.isFolded(section);
    const within = isNamed ? 0 : headers(section) + Math.max(0, Math.min(section.last, key) - section.first);
    return Math.min(Math.max(1, this.rows), start + within + 1);
  }

  /** The step that a line belongs to. */
  stepOfLine(line: number): number | null {
    return this.sections[this.sectionOfLine(line)]?.step ?? null;
  }

  /** The first and the last line of these rows, if there are any. */
  linesIn(firstRow: number, lastRow: number): { first: number; last: number } | null {
    let first = 0;
    let last = -1;
    for (let row = firstRow; row <= lastRow; row++) {
      const key = this.keyOf(row);
      if (key < 1) continue;
      if (first === 0) first = key;
      last = key;
    }
    return first === 0 ? null : { first, last };
  }

  private isFolded(section: Section): boolean {
    return section.step !== null && this.folded.has(section.step);
  }

  private shown(section: Section): number {
    return this.isFolded(section) ? 0 : section.last - section.first + 1;
  }

  private sectionAtRow(row: number): number {
    let at = this.sections.length - 1;
    while (at > 0 && (this.starts[at] ?? 0) >= row) at -= 1;
    return at;
  }

  private sectionOfLine(line: number): number {
    let at = this.sections.length - 1;
    while (at > 0 && (this.sections[at]?.first ?? 0) > line) at -= 1;
    // Steps that wrote nothing begin at the same line as the one that did.
    return at;
  }
}

function headers({ step, first, last }: Section): number {
  return step === null || last < first ? 0 : 1;
}
