/** What the log view shows of one build's log: its rows, what is marked in them, and how the reader gets about. */
import { SvelteSet } from 'svelte/reactivity';
import { asFailure } from '../api/http';
import {
  getLineOffset,
  getLogBytes,
  getLogLines,
  getLogTimes,
  getMarks,
  searchLog,
  type LogQuery,
  type Match,
} from '../api/log';
import type { Build } from '../api/types';
import { hasEnded } from '../model/states';
import { preferences } from '../shell/preferences.svelte';
import { ERRORS } from './errors';
import { Finder, type SearchService } from './finder.svelte';
import { goneFor } from './gone';
import { parseLineHash, type LineRange } from './hash';
import { Matcher, type Search } from './hits';
import { Layout, sectionsOf, stepOfKey } from './layout';
import { LineHits } from './linehits';
import { LongLines } from './longlines';
import { Place, ROW_HEIGHT } from './place.svelte';
import { Selecting } from './selecting.svelte';
import { PLAIN } from './sgr';
import { endsSelected, selectedIn, type Place as TextPlace } from './selection';
import { LogStore } from './store';
import { KeptText, type LineText, type Part } from './text';
import { Texts, type Text } from './texts';
import { clockTime, LineTimes, sinceStart } from './times';
import { drawn } from './viewport';

export interface StepRow {
  readonly key: string;
  readonly kind: 'step';
  readonly step: number;
  readonly name: string;
  readonly attempt: number;
  readonly started: string | null;
  readonly ended: string | null;
  readonly lines: number;
  readonly folded: boolean;
}

export interface LineRow {
  readonly key: string;
  readonly kind: 'line';
  readonly line: number;
  readonly part: number;
  /** Null while the line is on its way. */
  readonly text: Part | null;
  readonly error: boolean;
  readonly marked: boolean;
  /** Whether its end is selected with it. */
  readonly ended: boolean;
  readonly time: string;
}

export type Row = StepRow | LineRow;

const OVERSCAN = 10;
const BUCKETS = 1_000;
const TIME_COLUMNS = 10;

export class LogModel {
  private version = $state(0);
  /** Why the service does not send this log live. */
  notFollowed = $state<string | null>(null);
  /** The log's length when the reader left its end. */
  private leftAt = $state(0);
  private searchQuery = $state.raw<LogQuery | null>(null);

  readonly store: LogStore;
  readonly place: Place;
  readonly errors: Finder;
  readonly search: Finder;
  readonly selecting: Selecting;
  readonly folded = new SvelteSet<number>();
  private readonly times: LineTimes;
  private readonly texts: Texts;
  private readonly long: LongLines;
  private readonly lineHits: LineHits;
  // Remembers what was worked out from what is reactive, and is read together with it.
  // eslint-disable-next-line svelte/prefer-svelte-reactivity
  private drawnRows = new Map<string, Row>();
  private scheduled = false;

  readonly live = $derived.by(() => !hasEnded(this.build()));
  readonly failed = $derived.by(() => ['failed', 'errored', 'timed_out'].includes(this.build().state));
  readonly total = $derived.by(() => {
    void this.version;
    return this.store.total;
  });
  /** Of a log that has just begun to come live, fewer may be here than there are. */
  private readonly lineCount = $derived.by(() => Math.max(this.total, this.build().log.lines));
  readonly bytes = $derived.by(() => {
    void this.version;
    // Of the same moment as the lines: of a log that comes live, what came.
    return this.store.bytes ?? this.build().log.bytes;
  });
  readonly failure = $derived.by(() => {
    void this.version;
    return this.store.error === null ? this.long.failure : asFailure(this.store.error);
  });
  /** Why there is no log any more. */
  readonly gone = $derived.by(() =>
    goneFor(this.build(), [this.failure, this.errors.failure, this.search.failure]),
  );
  readonly layout = $derived.by(() => {
    const begins = this.build().steps.map((step) => step.line);
    return new Layout(sectionsOf(begins, this.total), this.folded);
  });
  private readonly addressed = $derived.by<LineRange | null>(() => parseLineHash(this.hash()));
  /** The line in the address, if the log does not have it, or not yet. */
  readonly beyond = $derived.by(() => {
    const first = this.addressed?.first ?? 0;
    return this.lineCount > 0 && first > this.lineCount ? first : null;
  });
  readonly marked = $derived.by<LineRange | null>(() => (this.beyond === null ? this.addressed : null));
  readonly following = $derived.by(() => this.live && this.place.atEnd);
  readonly news = $derived.by(() => (this.place.atEnd ? 0 : Math.max(0, this.total - this.leftAt)));
  readonly digits = $derived(Math.max(3, String(this.total).length));
  readonly timeColumns = $derived.by(() => (preferences.times === 'off' ? 0 : TIME_COLUMNS));
  private readonly matcher = $derived.by(() => (this.searchQuery ? new Matcher(this.searchQuery) : null));
  private readonly view = $derived.by(() => drawn(this.place.anchor, this.place.geometry, OVERSCAN));
  readonly top = $derived(this.view.top);
  readonly rows = $derived.by<Row[]>(() => this.draw());
  /** The lines on screen and a few around them. */
  readonly lines = $derived.by(() => {
    const { strips } = this.view;
    return this.layout.linesIn(strips[0]?.row ?? 1, strips.at(-1)?.row ?? 0);
  });

  constructor(
    private readonly build: () => Build,
    private readonly hash: () => string,
  ) {
    const { id, log } = build();
    const update = () => this.scheduleUpdate();
    const service: SearchService = {
      search: (query, where, limit, signal) => searchLog(id, query, where, limit, signal),
      marks: (query, signal) => getMarks(id, query, BUCKETS, signal),
    };
    this.store = new LogStore(
      (line, lines, signal) => getLogLines(id, line, lines, signal),
      log.lines,
      update,
    );
    const fetchBytes = (offset: number, limit: number, signal?: AbortSignal) =>
      getLogBytes(id, offset, limit, signal);
    this.texts = new Texts((line) => this.store.line(line));
    this.times = new LineTimes((line, lines, signal) => getLogTimes(id, line, lines, signal), update);
    const offsetOf = (line: number, signal: AbortSignal) => getLineOffset(id, line, signal);
    const styleOf = (line: number) => this.store.line(line)?.style ?? PLAIN;
    this.long = new LongLines(offsetOf, fetchBytes, styleOf, update);
    this.errors = new Finder(service);
    this.search = new Finder(service);
    this.lineHits = new LineHits(service, update);
    this.place = new Place(this.asLines());
    this.selecting = new Selecting(this.asText(id));
  }

  /** Asks for what is on screen and not here; called after each drawing. */
  fetch(): void {
    void this.version;
    void this.rows;
    const { lines, total } = this;
    if (!lines) return;
    this.store.want(lines.first, lines.last);
    this.long.want(this.longLines());
    this.place.aim();
    if (preferences.times !== 'off') this.times.want(lines.first, lines.last, total);
    const { marks } = this.search;
    if (this.matcher?.needsService && marks) this.lineHits.want(lines.first, lines.last, marks);
    this.errors.grown(total);
    this.search.grown(total);
  }

  retry(): void {
    if (this.gone) return;
    for (const part of [this.store, this.long, this.errors, this.search, this.lineHits]) part.retry();
  }

  close(): void {
    for (const part of [this.store, this.place, this.errors, this.search, this.selecting]) part.close();
    for (const part of [this.times, this.long, this.lineHits]) part.close();
  }

  // Getting about.

  follow(): void {
    this.place.toEnd();
  }

  toggleFollow(): void {
    if (!this.following) this.follow();
    else this.leave(() => this.place.letGo());
  }

  /** Does what takes the reader elsewhere, and notes where the log ended if that was from its end. */
  leave(go: () => void): void {
    const wasAtEnd = this.place.atEnd || this.leftAt === 0;
    go();
    if (wasAtEnd) this.left();
  }

  /** The reader has left the log's end. */
  left(): void {
    this.leftAt = this.total;
  }

  goTo(line: number, byte = 0): void {
    const target = Math.max(1, Math.min(this.lineCount, line));
    const step = this.layout.stepOfLine(target);
    if (step !== null) this.folded.delete(step);
    this.leave(() => this.place.toLine(target, byte));
  }

  /** Goes to the line in the address, unless it is in view already. */
  goToMarked(): void {
    const first = this.marked?.first;
    if (first === undefined) return;
    const step = this.layout.stepOfLine(first);
    if ((step !== null && this.folded.has(step)) || !this.place.isOnScreen(first)) this.goTo(first);
  }

  goToMatch(match: Match | null): void {
    if (match) this.goTo(match.line, match.column - 1);
  }

  async find(finder: Finder, direction: 1 | -1): Promise<void> {
    const { current } = finder;
    const hasLeft = current !== null && !finder.isGoing && !this.place.isOnScreen(current.line);
    const match = await (hasLeft
      ? finder.nearest(this.here, direction)
      : direction === 1
        ? finder.next(this.here - 1)
        : finder.previous(this.here));
    this.goToMatch(match);
  }

  /** Searches for something else, and goes to the first match from here on. */
  async searchFor(query: LogQuery | null, jump: boolean): Promise<void> {
    const { current } = this.search;
    const from = current && this.place.isOnScreen(current.line) ? current.line : this.here;
    this.searchQuery = query;
    this.lineHits.ask(query);
    this.search.ask(query);
    if (query && jump) this.goToMatch(await this.search.first(from));
  }

  /** Where the first error is looked for: in the last attempt's script, if it came so far. */
  async findFirstError(): Promise<Match | null> {
    const { steps } = this.build();
    const step = steps.findLast(({ name }) => name === 'building') ?? steps.at(-1);
    return this.errors.first(step?.line ?? 1);
  }

  findErrors(): void {
    this.errors.ask(ERRORS);
  }

  toggleFold(step: number): void {
    if (!this.folded.delete(step)) this.folded.add(step);
  }

  /** Folds or unfolds the step that the reader is in. */
  toggleFoldHere(): void {
    const key = this.layout.keyOf(this.place.anchor.row);
    const step = stepOfKey(key) ?? this.layout.stepOfLine(this.place.heldLine ?? key);
    if (step !== null) this.toggleFold(step);
  }

  toggleAllFolds(): void {
    const steps = this.build().steps.map((_, step) => step);
    const open = steps.filter((step) => !this.folded.has(step));
    if (open.length > 0) for (const step of open) this.folded.add(step);
    else this.folded.clear();
  }

  /** The place in the text at a point of the view, from its top and from the text's left edge. */
  placeAt(x: number, y: number): TextPlace | null {
    const { strips, top } = this.view;
    const at = Math.max(0, Math.min(strips.length - 1, Math.floor((y - top) / ROW_HEIGHT)));
    const strip = strips[at];
    if (!strip) return null;
    const key = this.layout.keyOf(strip.row);
    const step = stepOfKey(key);
    if (step !== null) return { line: this.build().steps[step]?.line ?? 1, at: 0 };
    const column = Math.max(0, Math.round((x + this.place.x) / this.place.charWidth));
    return this.placeInRow(key, strip.part, column);
  }

  /** The place in a row of the screen at a column of it. */
  placeInRow(line: number, part: number, column: number): TextPlace {
    const text = this.textOf(line);
    if (!text) return { line, at: 0 };
    const { columns } = this.place;
    return { line, at: preferences.wrap ? text.placeIn(part, column, columns) : text.placeAt(column) };
  }

  columnsOf(line: number): number {
    return this.textOf(line)?.columns ?? 0;
  }

  /** The line that the reader went to, or else the first on screen. */
  private get here(): number {
    const { heldLine, anchor } = this.place;
    if (heldLine !== null) return heldLine;
    const key = this.layout.keyOf(anchor.row);
    const step = stepOfKey(key);
    return step === null ? key : (this.build().steps[step]?.line ?? 1);
  }

  private scheduleUpdate(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    // A tab in the background has no animation frames; it draws once when it is looked at again.
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.version += 1;
    });
  }

  private asLines() {
    const layout = () => this.layout;
    const textOf = (line: number) => this.textOf(line);
    return {
      get layout() {
        return layout();
      },
      get wrap() {
        return preferences.wrap;
      },
      parts: (line: number, columns: number) => this.rowsOf(line, columns),
      partOf: (line: number, byte: number, columns: number) => {
        const text = textOf(line);
        return text?.partOf(text.placeOf(byte), columns) ?? 0;
      },
      columnOf: (line: number, byte: number) => {
        const text = textOf(line);
        return text && text.columnOf(text.placeOf(byte));
      },
    };
  }

  private asText(id: string) {
    const total = () => this.total;
    return {
      get total() {
        return total();
      },
      offset: (line: number) => getLineOffset(id, line),
      bytes: (offset: number, limit: number) => getLogBytes(id, offset, limit),
      textAt: (line: number) => {
        const text = this.textOf(line);
        return text instanceof KeptText && !this.lineAt(line)?.raw.cut ? text.shown.text : null;
      },
    };
  }

  private textOf(line: number): LineText | null {
    void this.version;
    return this.longText(line) ?? this.lineAt(line)?.text ?? null;
  }

  private longText(line: number): LineText | null {
    return this.isLong(line) ? this.long.get(line) : null;
  }

  /** Of each of many lines: none is read or made for it. */
  private rowsOf(line: number, columns: number): number {
    void this.version;
    return this.long.get(line)?.parts(columns) ?? this.texts.rowsOf(line, columns);
  }

  /** Whether there is more of a line than its beginning; of one that is still being written no more can be read. */
  private isLong(line: number): boolean {
    return (this.store.line(line)?.cut ?? false) && !(this.live && line === this.total);
  }

  /** Those on screen. */
  private longLines(): number[] {
    return this.rows.flatMap((row) => (row.kind === 'line' && this.isLong(row.line) ? [row.line] : []));
  }

  private lineAt(line: number): Text | null {
    void this.version;
    return this.texts.at(line);
  }

  private draw(): Row[] {
    const rows = this.view.strips.map(({ row, part }) => {
      const key = this.layout.keyOf(row);
      const step = stepOfKey(key);
      return step === null ? this.lineRow(key, part) : this.stepRow(step);
    });
    this.drawnRows.clear();
    for (const row of rows) this.drawnRows.set(row.key, row);
    return rows;
  }

  /** The row as it was, if nothing about it has changed: then nothing is drawn again. */
  private same<R extends Row>(row: R): R {
    const before = this.drawnRows.get(row.key);
    return before && isSame(before, row) ? (before as R) : row;
  }

  private stepRow(index: number): StepRow {
    const build = this.build();
    const step = build.steps[index];
    const section = this.layout.sections.find((one) => one.step === index);
    return this.same({
      key: `step ${index}`,
      kind: 'step',
      step: index,
      name: step?.name ?? '',
      attempt: step?.attempt ?? 1,
      started: step?.started ?? null,
      ended: step?.ended ?? build.ended,
      lines: section ? section.last - section.first + 1 : 0,
      folded: this.folded.has(index),
    });
  }

  private lineRow(line: number, part: number): LineRow {
    const text = this.textOf(line);
    const { marked } = this;
    return this.same({
      key: `${line}.${part}`,
      kind: 'line',
      line,
      part,
      text: text && this.partOf(line, text, part),
      error: this.lineAt(line)?.error ?? false,
      marked: marked !== null && line >= marked.first && line <= marked.last,
      ended: endsSelected(this.selecting.selection, line),
      time: this.timeOf(line),
    });
  }

  private partOf(line: number, text: LineText, part: number): Part {
    const marks = {
      search: this.searchIn(line),
      selected: selectedIn(this.selecting.selection, line),
    };
    const { place } = this;
    if (preferences.wrap) return text.wrapped(part, place.columns, marks);
    const from = Math.floor(place.x / place.charWidth);
    return text.window(from, from + place.columns, marks);
  }

  private searchIn(line: number): Search | null {
    const { matcher } = this;
    const { current } = this.search;
    return (
      matcher && { matcher, first: this.lineHits.at(line), current: current?.line === line ? current : null }
    );
  }

  private timeOf(line: number): string {
    const { times } = preferences;
    const at = times === 'off' ? null : this.times.at(line);
    if (at === null) return '';
    if (times === 'clock') return clockTime(at);
    const { started, queued } = this.build();
    return sinceStart(at, Date.parse(started ?? queued));
  }
}

function isSame(one: unknown, two: unknown): boolean {
  if (one === two) return true;
  if (typeof one !== 'object' || typeof two !== 'object' || one === null || two === null) return false;
  const keys = Object.keys(one);
  return (
    keys.length === Object.keys(two).length &&
    keys.every((key) => isSame((one as Record<string, unknown>)[key], (two as Record<string, unknown>)[key]))
  );
}
