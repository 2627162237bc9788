import { Lines, LineSplitter, type LogLine } from '../log/lines';
import { connection } from './connection.svelte';

/** UTF-16 units given of one line: with its escape sequences, still more than a card has room for. */
export const MAX_SHOWN = 2_000;

/** The last few lines of a build's log, as they come. */
export class LastLines {
  lines = $state.raw<readonly (LogLine | null)[]>([]);

  private kept = new Lines();
  private splitter = new LineSplitter(() => undefined);
  private scheduled = false;

  constructor(private readonly count: number) {}

  /** Follows the build until the returned function is called. */
  follow(build: string): () => void {
    return connection.live.follow(
      build,
      { tail: this.count },
      {
        begin: () => {
          const kept = new Lines();
          this.kept = kept;
          this.splitter = new LineSplitter((text, cut) => kept.push(text, cut));
        },
        bytes: (bytes) => {
          this.splitter.write(bytes);
          if (this.kept.length > 1000) this.kept.dropFirst(this.kept.length - this.count);
          this.schedule();
        },
        end: () => {
          this.splitter.finish();
          this.schedule();
        },
      },
    );
  }

  /** At most one update in each frame, and none in a tab that nobody sees. */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.update();
    });
  }

  private update(): void {
    const rest = this.splitter.rest;
    const pending = rest.text === '' ? [] : [{ ...rest, style: this.kept.endStyle }];
    const whole = this.count - pending.length;
    const first = Math.max(0, this.kept.length - whole);
    const complete = Array.from({ length: this.kept.length - first }, (_, at) => this.kept.at(first + at));
    this.lines = [...complete, ...pending].map((line) => line && beginningOf(line));
  }
}

/** Of a long line that draws itself anew, it is the beginning of what it drew last. */
function beginningOf(line: LogLine): LogLine {
  const { text } = line;
  if (text.length <= MAX_SHOWN) return line;
  const redraw = text.lastIndexOf('\r', text.length - 2) + 1;
  return { ...line, text: text.slice(redraw, redraw + MAX_SHOWN), cut: true };
}
