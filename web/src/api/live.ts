/**
 * The live connection: one WebSocket that carries the changes of builds and the logs of those that are
 * followed. It comes back by itself, and then goes on where it stopped: by revision for builds, by byte
 * offset for logs. The protocol is in docs/live-protocol.md.
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
  /** The log comes from here on. Called again if it could not go on exactly where it stopped. */
  begin(at: { offset: number; line: number }): void;
  bytes(bytes: Uint8Array): void;
  /** The build has ended and every byte was given. */
  end(): void;
  failed?(error: string): void;
}

export interface LiveEvents {
  status(status: LiveStatus, retryInMs: number | null): void;
  build(build: Build): void;
  /**
   * Changes may have been missed: on the first connection, since it began after the page asked for its
   * builds, and when the service now has another data directory.
   */
  refresh(): void;
}

export interface LiveOptions {
  connect: () => Socket;
  random?: () => number;
  setTimer?: (run: () => void, ms: number) => unknown;
  clearTimer?: (timer: unknown) => void;
}

interface Follower {
  from: FollowFrom;
  reader: LogReader;
  channel: number | null;
  /** After the last byte received; null until the first `following`. */
  offset: number | null;
  ended: boolean;
}

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 15_000;
const FRAME_HEADER_BYTES = 12;
/** The server pings every 20 s, unseen by scripts; what can be seen is that no connection came about. */
const CONNECT_DEADLINE_MS = 10_000;

/** The wait before the given attempt (the first is 1): doubling, capped, and spread over half its length. */
export function backoff(attempt: number, random: () => number): number {
  const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1));
  return ceiling / 2 + (ceiling / 2) * random();
}

export class LiveClient {
  private socket: Socket | null = null;
  private ready = false;
  private attempt = 0;
  private timer: unknown = null;
  private stopped = true;
  private instance: string | null = null;
  private revision: number | null = null;
  private followers = new Map<string, Follower>();
  private readonly random: () => number;
  private readonly setTimer: (run: () => void, ms: number) => unknown;
  private readonly clearTimer: (timer: unknown) => void;

  constructor(
    private readonly options: LiveOptions,
    private readonly events: LiveEvents,
  ) {
    this.random = options.random ?? Math.random;
    this.setTimer = options.setTimer ?? ((run, ms) => setTimeout(run, ms));
    this.clearTimer = options.clearTimer ?? ((timer) => clearTimeout(timer as number));
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

  /** Follows a build's log until the returned function is called. One reader for each build. */
  follow(build: string, from: FollowFrom, reader: LogReader): () => void {
    const follower: Follower = { from, reader, channel: null, offset: null, ended: false };
    this.followers.set(build, follower);
    if (this.ready) this.send({ type: 'follow', build, ...from });
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
        break;
      case 'following':
        this.begin(message.build, message.channel, message.offset, message.line);
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
    this.timer = null;
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
      const from = follower.offset === null ? follower.from : { offset: follower.offset };
      this.send({ type: 'follow', build, ...from });
    }
    this.events.status('live', null);
    if (!sameStore) this.events.refresh();
  }

  private begin(build: string, channel: number, offset: number, line: number): void {
    const follower = this.followers.get(build);
    if (!follower) return;
    follower.channel = channel;
    follower.ended = false;
    const goesOn = follower.offset === offset;
    follower.offset = offset;
    if (!goesOn) follower.reader.begin({ offset, line });
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
    const follower = this.followerOf(channel);
    if (!follower || follower.offset === null) return;
    if (offset !== follower.offset) {
      // Never expected; a new connection at our own offset puts it right, showing the bytes would not.
      this.lost();
      return;
    }
    const bytes = new Uint8Array(frame, FRAME_HEADER_BYTES);
    follower.offset += bytes.byteLength;
    follower.reader.bytes(bytes);
  }

  private followerOf(channel: number): Follower | null {
    for (const follower of this.followers.values()) if (follower.channel === channel) return follower;
    return null;
  }
}
