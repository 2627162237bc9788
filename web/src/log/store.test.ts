import { describe, expect, it, vi } from 'vitest';
import { BLOCK_LINES, LogStore, type FetchLines } from './store';

const encode = (text: string) => new TextEncoder().encode(text);

const answer = (text: string, next: number | null = null, style = '') => ({
  bytes: encode(text),
  next,
  style,
});

/** A log of numbered lines, served as the service does. */
function served(total: number, { perAnswer = Infinity } = {}) {
  const asked: [number, number][] = [];
  const fetchLines: FetchLines = (line, lines, signal) => {
    asked.push([line, lines]);
    signal.throwIfAborted();
    const last = Math.min(total, line + Math.min(lines, perAnswer) - 1);
    let text = '';
    for (let at = line; at <= last; at++) text += `line ${at}\n`;
    return Promise.resolve(answer(text, last < total ? last + 1 : null));
  };
  return { asked, fetchLines };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 5));
const ignore = () => undefined;

describe('a finished log', () => {
  it('fetches only the blocks that are looked at, once', async () => {
    const { asked, fetchLines } = served(10_000_000);
    const store = new LogStore(fetchLines, 10_000_000, ignore);
    expect(store.total).toBe(10_000_000);
    store.want(5_000_100, 5_000_150);
    await settled();
    expect(store.line(5_000_123)?.text).toBe('line 5000123');
    expect(store.line(4_000_000)).toBeNull();
    store.want(5_000_110, 5_000_160);
    await settled();
    expect(asked).toEqual([[5_000_001, BLOCK_LINES]]);
  });

  it('goes on where an answer stopped', async () => {
    const { asked, fetchLines } = served(2000, { perAnswer: 200 });
    const store = new LogStore(fetchLines, 2000, ignore);
    store.want(1, 40);
    await settled();
    expect(asked.map(([line]) => line)).toEqual([1, 201, 401]);
    expect(store.line(BLOCK_LINES)?.text).toBe(`line ${BLOCK_LINES}`);
  });

  it('shows a line without an end at the end', async () => {
    const store = new LogStore(() => Promise.resolve(answer('one\ntwo')), 2, ignore);
    store.want(1, 2);
    await settled();
    expect(store.line(2)?.text).toBe('two');
    expect(store.total).toBe(2);
  });

  it('shows the beginning of a line that is longer than an answer, and goes on after it', async () => {
    const answers = [answer('x'.repeat(1000), 2), answer('after\n')];
    const store = new LogStore(() => Promise.resolve(answers.shift() ?? answer('')), 2, ignore);
    store.want(1, 2);
    await settled();
    expect(store.line(1)).toMatchObject({ cut: true });
    expect(store.line(2)?.text).toBe('after');
  });

  it('does not ask for ever for lines that are not there', async () => {
    const { asked, fetchLines } = served(10);
    const store = new LogStore(fetchLines, 20, () => store.want(1, 20));
    store.want(1, 20);
    await settled();
    expect(asked).toHaveLength(1);
  });

  it('keeps memory within bounds, forgetting what was looked at longest ago', async () => {
    const line = 'x'.repeat(20_000) + '\n';
    const fetchLines: FetchLines = (_, lines) => Promise.resolve(answer(line.repeat(lines)));
    const store = new LogStore(fetchLines, 1_000_000, ignore);
    for (const first of [1, 10_001, 20_001]) {
      store.want(first, first + 10);
      await settled();
    }
    expect(store.line(1)).toBeNull();
    expect(store.line(20_001)).not.toBeNull();
  });

  it('gives up on what is no longer looked at', async () => {
    const signals: AbortSignal[] = [];
    const store = new LogStore(
      (_line, _lines, signal) => {
        signals.push(signal);
        return new Promise((_, reject) =>
          signal.addEventListener('abort', () => reject(new Error('aborted'))),
        );
      },
      1_000_000,
      ignore,
    );
    store.want(1, 10);
    store.want(500_000, 500_010);
    await settled();
    expect(signals[0]?.aborted).toBe(true);
    expect(signals.at(-1)?.aborted).toBe(false);
    expect(store.error).toBeNull();
  });

  it('says what failed, and asks again when told to', async () => {
    const { fetchLines } = served(10);
    const flaky = vi.fn(fetchLines).mockRejectedValueOnce(new Error('no answer'));
    const store = new LogStore(flaky, 10, ignore);
    store.want(1, 10);
    await settled();
    expect(store.error).toBeInstanceOf(Error);
    store.retry();
    await settled();
    expect(store.error).toBeNull();
    expect(store.line(1)?.text).toBe('line 1');
  });
});

describe('a live log', () => {
  it('shows what comes, the unfinished line included', () => {
    const { fetchLines } = served(0);
    const store = new LogStore(fetchLines, 0, ignore);
    store.begin(1, 0, true);
    store.append(encode('one\ntw'));
    expect(store.total).toBe(2);
    expect(store.line(2)?.text).toBe('tw');
    store.append(encode('o\n'));
    expect(store.bytes).toBe(8);
    expect(store.total).toBe(2);
    store.end();
    expect(store.line(2)?.text).toBe('two');
  });

  it('joins the tail with what was before it', async () => {
    const { asked, fetchLines } = served(1200);
    const store = new LogStore(fetchLines, 1200, ignore);
    store.begin(1101, 0, true);
    for (let at = 1101; at <= 1205; at++) store.append(encode(`line ${at}\n`));
    store.want(1090, 1110);
    await settled();
    expect(asked).toEqual([
      [1101, 0],
      [1001, BLOCK_LINES],
    ]);
    for (let at = 1001; at <= 1205; at++) expect(store.line(at)?.text).toBe(`line ${at}`);
    expect(store.total).toBe(1205);
  });

  it('keeps a bounded tail; older lines are fetched again', async () => {
    const { asked, fetchLines } = served(1_000_000);
    const store = new LogStore(fetchLines, 0, ignore);
    store.begin(1, 0, true);
    for (let at = 1; at <= 100_000; at += 100) {
      let text = '';
      for (let line = at; line < at + 100; line++) text += `line ${line}\n`;
      store.append(encode(text));
    }
    expect(store.total).toBe(100_000);
    expect(store.line(100_000)?.text).toBe('line 100000');
    expect(store.line(1)).toBeNull();
    store.want(1, 40);
    await settled();
    expect(asked).toEqual([[1, BLOCK_LINES]]);
    expect(store.line(1)?.text).toBe('line 1');
  });

  it('starts its tail again further on, with what lies between fetched when it is looked at', async () => {
    let written = served(602);
    const store = new LogStore((...wanted) => written.fetchLines(...wanted), 602, ignore);
    store.begin(601, 6000, true);
    store.append(encode('line 601\nline 602\nhal'));
    store.want(400, 603);
    await settled();
    expect(store.line(603)?.text).toBe('hal');
    written = served(9000);
    store.begin(8001, 90_000, false);
    store.append(encode('line 8001\nline 8002\nline'));
    expect(store.total).toBe(8003);
    expect(store.bytes).toBe(90_024);
    // What was fetched before is of the same log.
    expect(store.line(500)?.text).toBe('line 500');
    expect(store.line(603)).toBeNull();
    store.want(600, 620);
    await settled();
    for (let at = 600; at <= 620; at++) expect(store.line(at)?.text).toBe(`line ${at}`);
    expect(written.asked).toEqual([
      [8001, 0],
      [603, 398],
    ]);
    store.want(7990, 8003);
    await settled();
    expect(store.line(8000)?.text).toBe('line 8000');
    expect(store.line(8003)?.text).toBe('line');
  });

  it('does not keep a line that was fetched half written', async () => {
    const fetchLines: FetchLines = () => Promise.resolve(answer('one\nha'));
    const store = new LogStore(fetchLines, 2, ignore);
    store.want(1, 2);
    await settled();
    expect(store.line(2)?.text).toBe('ha');
    store.begin(2, 4, true);
    store.append(encode('half\n'));
    store.begin(50, 400, false);
    expect(store.line(2)).toBeNull();
  });

  it('starts its tail again elsewhere when it could not go on', () => {
    const { fetchLines } = served(0);
    const store = new LogStore(fetchLines, 0, ignore);
    store.begin(1, 0, true);
    store.append(encode('old\n'));
    store.begin(101, 0, true);
    store.append(encode('new\n'));
    expect(store.total).toBe(101);
    expect(store.line(101)?.text).toBe('new');
  });
});

describe('colours that last over lines', () => {
  const RED = '\x1b[31m';

  /** Lines of which one turns red what comes after it. */
  function colouredAt(red: number, total: number) {
    const asked: [number, number][] = [];
    const fetchLines: FetchLines = (line, lines) => {
      asked.push([line, lines]);
      const last = Math.min(total, line + lines - 1);
      let text = '';
      for (let at = line; at <= last; at++) text += `${at === red ? RED : ''}line ${at}\n`;
      return Promise.resolve(answer(text, last < total ? last + 1 : null, line > red ? '31' : ''));
    };
    return { asked, fetchLines };
  }
  const colour = (store: LogStore, line: number) => store.line(line)?.style.fg;

  it('are those that hold above the block', async () => {
    const { fetchLines } = colouredAt(100, 5000);
    const store = new LogStore(fetchLines, 5000, ignore);
    for (const line of [4501, 1]) {
      store.want(line, line + 40);
      await settled();
    }
    expect(colour(store, 4501)).toBe(1);
    expect(colour(store, 5000)).toBe(1);
    expect(colour(store, 100)).toBeNull();
    expect(colour(store, 101)).toBe(1);
  });

  it('are those above each answer, also where a line was too long to be kept whole', async () => {
    const answers = [answer('x'.repeat(1000), 2), answer('after\n', null, '31')];
    const store = new LogStore(() => Promise.resolve(answers.shift() ?? answer('')), 2, ignore);
    store.want(1, 2);
    await settled();
    expect(colour(store, 1)).toBeNull();
    expect(colour(store, 2)).toBe(1);
  });

  it('go on in the live tail, whatever has come of it meanwhile', async () => {
    const { asked, fetchLines } = colouredAt(900, 1001);
    const store = new LogStore(fetchLines, 1001, ignore);
    store.begin(1002, 20_000, true);
    store.append(encode('line 1002\nli'));
    expect(colour(store, 1002)).toBeNull();
    await settled();
    expect(asked).toEqual([[1002, 0]]);
    expect(colour(store, 1002)).toBe(1);
    expect(colour(store, 1003)).toBe(1);
    store.append(encode('ne 1003\n\x1b[0mplain\nplain\n'));
    expect(colour(store, 1005)).toBeNull();
  });

  it('are asked for only where what is before the tail is not here', async () => {
    const { asked, fetchLines } = colouredAt(900, 1000);
    const store = new LogStore(fetchLines, 1000, ignore);
    store.want(900, 1000);
    await settled();
    asked.length = 0;
    store.begin(1001, 20_000, false);
    store.append(encode('line 1001\n'));
    await settled();
    expect(asked).toEqual([]);
    expect(colour(store, 1001)).toBe(1);
  });

  it('leave the live tail as it is when nobody tells them', async () => {
    const store = new LogStore(() => Promise.reject(new Error('away')), 10, ignore);
    store.begin(11, 100, true);
    store.append(encode('line 11\n'));
    await settled();
    expect(store.line(11)?.text).toBe('line 11');
    expect(store.error).toBeNull();
  });
});
