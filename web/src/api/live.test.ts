import { beforeEach, describe, expect, it } from 'vitest';
import { backoff, LiveClient, type LiveStatus, type LogReader, type Socket } from './live';
import type { Build, ClientMessage, ServerMessage } from './types';

class FakeSocket implements Socket {
  binaryType = '';
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  sent: ClientMessage[] = [];
  closed = false;

  send(text: string): void {
    this.sent.push(JSON.parse(text) as ClientMessage);
  }

  close(): void {
    this.closed = true;
  }

  says(message: ServerMessage): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  hello(revision: number, instance = 'one'): void {
    this.says({ type: 'hello', version: '0', instance, revision });
  }

  /** A frame of log bytes. */
  log(channel: number, offset: number, text: string): void {
    const bytes = new TextEncoder().encode(text);
    const frame = new Uint8Array(12 + bytes.length);
    const header = new DataView(frame.buffer);
    header.setUint32(0, channel);
    header.setBigUint64(4, BigInt(offset));
    frame.set(bytes, 12);
    this.onmessage?.({ data: frame.buffer });
  }

  breaks(): void {
    this.onclose?.();
  }
}

class Reader implements LogReader {
  text = '';
  begins: number[] = [];
  afresh: boolean[] = [];
  ended = 0;

  constructor(readonly catchUp = 0) {}

  begin(at: { offset: number; afresh: boolean }): void {
    this.begins.push(at.offset);
    this.afresh.push(at.afresh);
  }
  bytes(bytes: Uint8Array): void {
    this.text += new TextDecoder().decode(bytes);
  }
  end(): void {
    this.ended += 1;
  }
}

let sockets: FakeSocket[];
let timers: { run: () => void; ms: number }[];
let statuses: LiveStatus[];
let changed: string[];
let refreshes: number;
let client: LiveClient;
let now: number;

const newest = () => sockets.at(-1) as FakeSocket;

/** Runs the timers that wait, as if their time had come. */
function elapse(): void {
  for (const { run } of timers.splice(0)) run();
}

function reconnect(): FakeSocket {
  newest().breaks();
  elapse();
  return newest();
}

beforeEach(() => {
  sockets = [];
  timers = [];
  statuses = [];
  changed = [];
  refreshes = 0;
  now = 0;
  client = new LiveClient(
    {
      connect: () => {
        const socket = new FakeSocket();
        sockets.push(socket);
        return socket;
      },
      random: () => 0.5,
      now: () => now,
      setTimer: (run, ms) => {
        const timer = { run, ms };
        timers.push(timer);
        return timer;
      },
      clearTimer: (timer) => {
        timers = timers.filter((other) => other !== timer);
      },
    },
    {
      status: (status) => statuses.push(status),
      build: (build) => changed.push(build.id),
      refresh: () => (refreshes += 1),
    },
  );
  client.start();
});

describe('builds', () => {
  it('are asked for from the revision that the service greets with', () => {
    newest().hello(4711);
    expect(newest().sent).toEqual([{ type: 'builds', since: 4711 }]);
    expect(statuses).toEqual(['connecting', 'live']);
    expect(refreshes).toBe(1);
  });

  it('go on after the newest revision seen', () => {
    newest().hello(4711);
    newest().says({ type: 'build', revision: 4720, build: { id: 'b1' } as Build });
    const again = reconnect();
    again.hello(4800);
    expect(again.sent[0]).toEqual({ type: 'builds', since: 4720 });
    expect(changed).toEqual(['b1']);
  });

  it('and all else are asked for again on each connection: it may have failed in between', () => {
    newest().hello(4711);
    const again = reconnect();
    expect(refreshes).toBe(1);
    again.hello(4711);
    expect(refreshes).toBe(2);
  });

  it('start afresh with another data directory', () => {
    newest().hello(4711);
    const again = reconnect();
    again.hello(3, 'two');
    expect(again.sent[0]).toEqual({ type: 'builds', since: 3 });
  });
});

describe('logs', () => {
  it('are followed once the connection stands, and at once afterwards', () => {
    client.follow('b1', { tail: 100 }, new Reader());
    newest().hello(1);
    client.follow('b2', { line: 7 }, new Reader());
    expect(newest().sent.slice(1)).toEqual([
      { type: 'follow', build: 'b1', tail: 100 },
      { type: 'follow', build: 'b2', line: 7 },
    ]);
  });

  it('go on at the byte where they stopped, without hole or repeat', () => {
    const reader = new Reader();
    client.follow('b1', { offset: 50 }, reader);
    newest().hello(1);
    newest().says({ type: 'following', build: 'b1', channel: 1, offset: 50, line: 3 });
    newest().log(1, 50, 'abc');
    const again = reconnect();
    again.hello(2);
    expect(again.sent[1]).toEqual({ type: 'follow', build: 'b1', offset: 53 });
    again.says({ type: 'following', build: 'b1', channel: 1, offset: 53, line: 3 });
    again.log(1, 53, 'def');
    expect(reader.text).toBe('abcdef');
    expect(reader.begins).toEqual([50]);
  });

  it('go on also when the connection broke before a byte had come', () => {
    const reader = new Reader();
    client.follow('b1', { tail: 5 }, reader);
    newest().hello(1);
    const again = reconnect();
    again.hello(1);
    expect(again.sent[1]).toEqual({ type: 'follow', build: 'b1', tail: 5 });
  });

  it('ignore frames of a channel that is no longer followed', () => {
    const reader = new Reader();
    const unfollow = client.follow('b1', { offset: 0 }, reader);
    newest().hello(1);
    newest().says({ type: 'following', build: 'b1', channel: 1, offset: 0, line: 1 });
    unfollow();
    newest().log(1, 0, 'late');
    expect(newest().sent.at(-1)).toEqual({ type: 'unfollow', build: 'b1' });
    expect(reader.text).toBe('');
  });

  it('keep two channels apart when a build is followed again elsewhere', () => {
    client.follow('b1', { tail: 3 }, new Reader());
    newest().hello(1);
    newest().says({ type: 'following', build: 'b1', channel: 1, offset: 90, line: 9 });
    const second = new Reader();
    client.follow('b1', { tail: 500 }, second);
    newest().log(1, 90, 'of the old channel');
    newest().says({ type: 'following', build: 'b1', channel: 2, offset: 10, line: 2 });
    newest().log(2, 10, 'new');
    expect(second.text).toBe('new');
  });

  it('connect again rather than show bytes after a hole', () => {
    const reader = new Reader();
    client.follow('b1', { offset: 0 }, reader);
    newest().hello(1);
    newest().says({ type: 'following', build: 'b1', channel: 1, offset: 0, line: 1 });
    newest().log(1, 0, 'abc');
    newest().log(1, 5, 'fgh');
    expect(reader.text).toBe('abc');
    expect(statuses.at(-1)).toBe('reconnecting');
    elapse();
    newest().hello(1);
    expect(newest().sent[1]).toEqual({ type: 'follow', build: 'b1', offset: 3 });
  });

  it('are not asked for again once they ended', () => {
    const reader = new Reader();
    client.follow('b1', { offset: 0 }, reader);
    newest().hello(1);
    newest().says({ type: 'following', build: 'b1', channel: 1, offset: 0, line: 1 });
    newest().says({ type: 'end', build: 'b1', channel: 1, offset: 0 });
    expect(reader.ended).toBe(1);
    const again = reconnect();
    again.hello(2);
    expect(again.sent).toEqual([{ type: 'builds', since: 1 }]);
  });

  it('begin again with another data directory', () => {
    const reader = new Reader();
    client.follow('b1', { tail: 9 }, reader);
    newest().hello(1);
    newest().says({ type: 'following', build: 'b1', channel: 1, offset: 0, line: 1 });
    newest().log(1, 0, 'abc');
    const again = reconnect();
    again.hello(1, 'two');
    expect(again.sent[1]).toEqual({ type: 'follow', build: 'b1', tail: 9 });
  });
});

describe('the last lines of a log', () => {
  const MIB = 1024 * 1024;
  let reader: Reader;

  /** Follows from byte 50 and has 3 bytes. */
  function follow(catchUp = 0): void {
    reader = new Reader(catchUp);
    client.follow('b1', { tail: 100 }, reader);
    newest().hello(1);
    newest().says({ type: 'following', build: 'b1', channel: 1, offset: 50, line: 3 });
    newest().log(1, 50, 'abc');
  }

  function comeBackAt(offset: number, line: number): FakeSocket {
    const again = reconnect();
    again.hello(2);
    expect(again.sent[1]).toEqual({ type: 'follow', build: 'b1', tail: 100 });
    again.says({ type: 'following', build: 'b1', channel: 1, offset, line });
    return again;
  }

  it('go on without repeat when they begin before what is here', () => {
    follow();
    const again = comeBackAt(20, 1);
    again.log(1, 20, '.'.repeat(30));
    again.log(1, 50, 'abcd');
    again.log(1, 54, 'ef');
    expect(reader.text).toBe('abcdef');
    expect(reader.begins).toEqual([50]);
    expect(statuses.at(-1)).toBe('live');
  });

  it('go on at the byte rather than be sent again from far before', () => {
    reader = new Reader();
    client.follow('b1', { tail: 100 }, reader);
    newest().hello(1);
    newest().says({ type: 'following', build: 'b1', channel: 1, offset: 0, line: 1 });
    for (let at = 0; at < 4; at++) newest().log(1, at * 30_000, 'x'.repeat(30_000));
    const again = comeBackAt(0, 1);
    expect(again.sent[2]).toEqual({ type: 'follow', build: 'b1', offset: 120_000 });
  });

  it('leave out what was missed', () => {
    follow();
    comeBackAt(90, 9).log(1, 90, 'xyz');
    expect(reader.begins).toEqual([50, 90]);
    expect(reader.afresh).toEqual([true, false]);
    expect(reader.text).toBe('abcxyz');
  });

  it('are caught up with from a little behind, by who wants that', () => {
    follow(MIB);
    const again = comeBackAt(MIB, 9);
    expect(again.sent[2]).toEqual({ type: 'follow', build: 'b1', offset: 53 });
    again.log(1, MIB, 'of the channel that is over');
    again.says({ type: 'following', build: 'b1', channel: 2, offset: 53, line: 3 });
    again.log(2, 53, 'def');
    expect(reader.text).toBe('abcdef');
    expect(reader.begins).toEqual([50]);
  });

  it('leave out more than that', () => {
    follow(MIB);
    comeBackAt(53 + MIB + 1, 9);
    expect(reader.begins).toEqual([50, 53 + MIB + 1]);
  });

  const says = (bytes: number) =>
    newest().says({ type: 'build', revision: 5, build: { id: 'b1', log: { bytes, lines: 9 } } as Build });

  it('are asked for again when the service has much more, not sooner than that can be known', () => {
    follow();
    now = 10_000;
    says(53 + MIB);
    expect(newest().sent).toHaveLength(2);
    says(54 + MIB);
    says(55 + MIB);
    expect(newest().sent.slice(2)).toEqual([{ type: 'follow', build: 'b1', tail: 100 }]);
  });

  it('are asked for again while large frames come, now and then', () => {
    follow();
    const large = 'x'.repeat(40_000);
    now = 2_000;
    newest().log(1, 53, large);
    expect(newest().sent).toHaveLength(2);
    now = 4_000;
    newest().log(1, 40_053, large);
    newest().log(1, 80_053, large);
    expect(newest().sent.slice(2)).toEqual([{ type: 'follow', build: 'b1', tail: 100 }]);
  });
});

describe('coming back', () => {
  it('says so at once and tries after a growing, spread wait', () => {
    newest().hello(1);
    newest().breaks();
    expect(statuses.at(-1)).toBe('reconnecting');
    const waits: number[] = [];
    for (let at = 0; at < 10; at++) {
      waits.push(timers.at(-1)?.ms ?? 0);
      elapse();
      newest().breaks();
    }
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    expect(waits[0]).toBeLessThan(300);
    expect(waits.at(-1)).toBeLessThanOrEqual(15_000);
  });

  it('spreads clients over half the wait', () => {
    expect(backoff(1, () => 0)).toBe(125);
    expect(backoff(1, () => 1)).toBe(250);
    expect(backoff(50, () => 1)).toBe(15_000);
  });

  it('gives up on a connection that never greets', () => {
    elapse();
    expect(sockets[0]?.closed).toBe(true);
    expect(statuses.at(-1)).toBe('reconnecting');
  });

  /** A time in which nothing comes, as long as it takes to be sure of that. */
  const beSilent = (looks: number) => {
    for (let at = 0; at < looks; at++) elapse();
  };

  it('drops a connection that says nothing any more', () => {
    newest().hello(1);
    beSilent(6);
    expect(statuses.at(-1)).toBe('live');
    beSilent(1);
    expect(sockets[0]?.closed).toBe(true);
    expect(statuses.at(-1)).toBe('reconnecting');
    elapse();
    expect(sockets).toHaveLength(2);
  });

  it('keeps one that says anything, also what is not known', () => {
    newest().hello(1);
    for (let at = 0; at < 5; at++) {
      beSilent(6);
      newest().says({ type: 'alive' } as unknown as ServerMessage);
    }
    expect(statuses.at(-1)).toBe('live');
    expect(sockets).toHaveLength(1);
  });

  it('drops a connection at once when the network is gone', () => {
    newest().hello(1);
    client.interrupted();
    expect(sockets[0]?.closed).toBe(true);
    expect(statuses.at(-1)).toBe('reconnecting');
    client.interrupted();
    expect(timers).toHaveLength(1);
  });

  it('tries at once when told to', () => {
    newest().breaks();
    client.retryNow();
    expect(sockets).toHaveLength(2);
  });

  it('stays away once stopped', () => {
    client.stop();
    elapse();
    expect(sockets).toHaveLength(1);
    expect(sockets[0]?.closed).toBe(true);
  });
});
