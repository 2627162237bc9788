/**
 * The live connection: one WebSocket that carries the changes of builds and the logs of those that are
 * followed. It comes back by itself, also when nobody said that it was lost, and then goes on where it stopped:
 * by revision for builds, by byte offset for logs. Of a log whose end is followed it leaves out what would have
 * to be caught up with, however it came to be behind. The protocol is in docs/live-protocol.md.
 */
import type { Build, ClientMessage, FollowFrom, ServerMessage } from './types';

export type LiveStatus = 'connecting' | 'live' | 'reconnecting';

/** What the client needs of a WebSocket; tests give a fake one. */
export interface Socket {
  binaryType: string;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
  send(text: string): void;
  close(): void;
}

export interface LogReader {
  /**
   * The log comes from here on. Called again if it does not go on exactly where it stopped: `afresh` if that
   * may be another log, else the bytes between were left out.
   */
  begin(at: { offset: number; line: number; afresh: boolean }): void;
  bytes(bytes: Uint8Array): void;
  /** The build has ended and every byte was given. */
  end(): void;
  failed?(error: string): void;
  /** One who follows the last lines gets up to so many bytes before them rather than miss them. */
  readonly catchUp?: number;
}

export interface LiveEvents {
  status(status: LiveStatus, retryInMs: number | null): void;
  build(build: Build): void;
  /**
   * A connection has come about. Everything is to be asked for again: what was asked for before may have failed,
   * and not all that is shown comes as a change of a build.
   */
  refresh(): void;
}

export interface LiveOptions {
  connect: () => Socket;
  random?: () => number;
  setTimer?: (run: () => void, ms: number) => unknown;
  clearTimer?: (timer: unknown) => void;
  now?: () => number;
}

interface Follower {
  from: FollowFrom;
  reader: LogReader;
  channel: number | null;
  /** After the last byte received; null until the first `following`. */
  offset: number | null;
  /** When it was last asked for, or looked at whether that is needed again. */
  asked: number;
  ended: boolean;
}

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 15_000;
const FRAME_HEADER_BYTES = 12;
const CONNECT_DEADLINE_MS = 10_000;
/**
 * The server says something every 5 s. A connection on which nothing came in so many looks, one after the other,
 * is lost. Looks are counted rather than time, because a tab that is frozen does not look.
 */
const LOOK_MS = 2_000;
const SILENT_LOOKS = 6;
/** A frame this large was not written just now: there may be more behind it than should be caught up with. */
const LARGE_FRAME_BYTES = 32 * 1024;
const ASK_AGAIN_MS = 3_000;
/** Of last lines that are here already, so much is rather sent again than asked around. */
const MAX_OVERLAP_BYTES = 64 * 1024;
/** How far the end of a log may be ahead, by what the service says of the build. */
const FAR_BEHIND_BYTES = 1024 * 1024;

/** The wait before the given attempt (the first is 1): doubling, capped, and spread over half its length. */
export function backoff(attempt: number, random: () => number): number {
  const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1));
  return ceiling / 2 + (ceiling / 2) * random();
}

export class LiveClient {
  private socket: Socket | null = null;
  private ready = false;
  private attempt = 0;
  /** Of the next attempt, its deadline, or the next look at whether anything came: there is one at a time. */
  private timer: unknown = null;
  private silentLooks = 0;
  private stopped = true;
  private instance: string | null = null;
  private revision: number | null = null;
  private followers = new Map<string, Follower>();
  private readonly random: () => number;
  private readonly setTimer: (run: () => void, ms: number) => unknown;
  private readonly clearTimer: (timer: unknown) => void;
  private readonly now: () => number;

  constructor(
    private readonly options: LiveOptions,
    private readonly events: LiveEvents,
  ) {
    this.random = options.random ?? Math.random;
    this.setTimer = options.setTimer ?? ((run, ms) => setTimeout(run, ms));
    this.clearTimer = options.clearTimer ?? ((timer) => clearTimeout(timer as number));
    this.now = options.now ?? (() => performance.now());
  }

  start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.open();
  }

  stop(): void {
    this.stopped = true;
    this.drop();
  }

  /** Tries at once when a retry is being waited for: the network came back, or somebody looks again. */
  retryNow(): void {
    if (this.stopped || this.socket !== null) return;
    this.attempt = 0;
    this.open();
  }

  /** The network is gone: what is open is lost, though nothing may ever say so. */
  interrupted(): void {
    if (!this.stopped && this.ready) this.lost();
  }

  /** Follows a build's log until the returned function is called. One reader for each build. */
  follow(build: string, from: FollowFrom, reader: LogReader): () => void {
    const follower: Follower = { from, reader, channel: null, offset: null, asked: 0, ended: false };
    this.followers.set(build, follower);
    if (this.ready) this.ask(build, follower, from);
    return () => {
      if (this.followers.get(build) !== follower) return;
      this.followers.delete(build);
      if (this.ready && !follower.ended) this.send({ type: 'unfollow', build });
    };
  }

  private open(): void {
    this.drop();
    const socket = this.options.connect();
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    socket.onmessage = ({ data }) => {
      if (this.socket !== socket) return;
      this.silentLooks = 0;
      if (typeof data === 'string') this.receive(JSON.parse(data) as ServerMessage);
      else if (data instanceof ArrayBuffer) this.receiveBytes(data);
    };
    socket.onclose = () => {
      if (this.socket === socket) this.lost();
    };
    this.timer = this.setTimer(() => {
      if (this.socket === socket && !this.ready) this.lost();
    }, CONNECT_DEADLINE_MS);
    if (this.attempt === 0) this.events.status('connecting', null);
  }

  private drop(): void {
    if (this.timer !== null) this.clearTimer(this.timer);
    this.timer = null;
    const socket = this.socket;
    this.socket = null;
    this.ready = false;
    for (const follower of this.followers.values()) follower.channel = null;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  private lost(): void {
    this.drop();
    if (this.stopped) return;
    this.attempt += 1;
    const delay = backoff(this.attempt, this.random);
    this.events.status('reconnecting', delay);
    this.timer = this.setTimer(() => this.open(), delay);
  }

  private look(): void {
    this.silentLooks += 1;
    if (this.silentLooks > SILENT_LOOKS) this.lost();
    else this.timer = this.setTimer(() => this.look(), LOOK_MS);
  }

  private ask(build: string, follower: Follower, from: FollowFrom): void {
    follower.asked = this.now();
    this.send({ type: 'follow', build, ...from });
  }

  private send(message: ClientMessage): void {
    this.socket?.send(JSON.stringify(message));
  }

  private receive(message: ServerMessage): void {
    switch (message.type) {
      case 'hello':
        this.welcome(message.instance, message.revision);
        break;
      case 'build':
        this.revision = Math.max(this.revision ?? 0, message.revision);
        this.events.build(message.build);
        this.compare(message.build);
        break;
      case 'following':
        this.begin(message.build, message);
        break;
      case 'end':
        this.end(message.build, message.channel);
        break;
      case 'error':
        if (message.build !== null) this.followers.get(message.build)?.reader.failed?.(message.error);
        break;
    }
  }

  private welcome(instance: string, revision: number): void {
    if (this.timer !== null) this.clearTimer(this.timer);
    this.silentLooks = 0;
    this.timer = this.setTimer(() => this.look(), LOOK_MS);
    this.attempt = 0;
    this.ready = true;
    const sameStore = this.instance === instance;
    if (!sameStore) {
      this.instance = instance;
      this.revision = revision;
      for (const follower of this.followers.values()) follower.offset = null;
    }
    this.send({ type: 'builds', since: this.revision });
    for (const [build, follower] of this.followers) {
      if (follower.ended && sameStore) continue;
      follower.ended = false;
      // Where the end is followed, the answer says how far it is ahead, and `begin` what to do about it.
      const { from, offset } = follower;
      this.ask(build, follower, offset === null || 'tail' in from ? from : { offset });
    }
    this.events.status('live', null);
    this.events.refresh();
  }

  private begin(build: string, at: { channel: number; offset: number; line: number }): void {
    const follower = this.followers.get(build);
    if (!follower) return;
    const { offset: stopped, reader } = follower;
    follower.ended = false;
    follower.channel = at.channel;
    if (stopped !== null) {
      const ahead = at.offset - stopped;
      // The little that is sent again is passed over as it comes.
      if (ahead <= 0 && -ahead <= MAX_OVERLAP_BYTES) return;
      if (ahead <= (reader.catchUp ?? 0)) {
        // Nothing of this channel is wanted, and what comes on it is taken for what is no longer followed.
        follower.channel = null;
        this.ask(build, follower, { offset: stopped });
        return;
      }
    }
    follower.offset = at.offset;
    reader.begin({ offset: at.offset, line: at.line, afresh: stopped === null });
  }

  /** Whether the service has much more of a log than came. */
  private compare({ id, log }: Build): void {
    const follower = this.followers.get(id);
    if (!follower || follower.offset === null) return;
    if (log.bytes - follower.offset > FAR_BEHIND_BYTES) this.skipAhead(id, follower);
  }

  /** Asks for the last lines again, to see how far they are ahead; not again before that can be known. */
  private skipAhead(build: string, follower: Follower): void {
    if (!('tail' in follower.from) || follower.channel === null) return;
    if (this.now() - follower.asked >= ASK_AGAIN_MS) this.ask(build, follower, follower.from);
  }

  private end(build: string, channel: number): void {
    const follower = this.followers.get(build);
    if (follower?.channel !== channel) return;
    follower.channel = null;
    follower.ended = true;
    follower.reader.end();
  }

  private receiveBytes(frame: ArrayBuffer): void {
    if (frame.byteLength < FRAME_HEADER_BYTES) return;
    const header = new DataView(frame, 0, FRAME_HEADER_BYTES);
    const channel = header.getUint32(0);
    const offset = Number(header.getBigUint64(4));
    // A frame of a log that is no longer followed may still have been on its way.
    const [build, follower] = this.followerOf(channel) ?? [];
    if (build === undefined || !follower || follower.offset === null) return;
    const known = follower.offset - offset;
    if (known < 0) {
      // Never expected; a new connection puts it right, showing the bytes would not.
      this.lost();
      return;
    }
    const length = frame.byteLength - FRAME_HEADER_BYTES;
    if (known < length) {
      follower.offset = offset + length;
      follower.reader.bytes(new Uint8Array(frame, FRAME_HEADER_BYTES + known));
    }
    if (length >= LARGE_FRAME_BYTES) this.skipAhead(build, follower);
  }

  private followerOf(channel: number): [string, Follower] | null {
    for (const entry of this.followers) if (entry[1].channel === channel) return entry;
    return null;
  }
}
