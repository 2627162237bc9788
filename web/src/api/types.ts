/** The shapes of the HTTP API and the live protocol, as docs/ describes them. */

export type RunningState = 'preparing' | 'building' | 'collecting' | 'publishing';
export type EndState =
  'succeeded' | 'failed' | 'errored' | 'timed_out' | 'cancelled' | 'superseded' | 'skipped';
export type BuildState = 'queued' | RunningState | EndState;

export type Cause =
  | { type: 'push'; pusher?: string; forced: boolean }
  | { type: 'dependency'; repository: string; commit: string }
  | { type: 'manual' }
  | { type: 'rebuild'; of: string }
  | { type: 'reconcile' }
  /** Another build needs the image that it makes. */
  | { type: 'base'; of: string }
  | { type: 'imported'; id: string }
  | { type: 'pull_request'; number?: number };

export interface Step {
  /** The state that the build was in. */
  name: string;
  attempt: number;
  started: string;
  ended: string | null;
  /** The log line at which the step began; the first line is 1. */
  line: number;
}

export interface Artifact {
  name: string;
  /** In bytes. */
  size: number;
  sha256: string;
  url: string;
}

export interface Commit {
  id: string;
  message: string;
  author: string;
  url: string | null;
}

export interface Limits {
  /** Bytes. */
  memory: number;
  /** Cores' worth of time; null: all there are. */
  cpus: number | null;
  /** Processes and threads. */
  pids: number;
  /** Seconds from the start of the script. */
  timeout: number;
}

/** What an incremental kernel is built upon. */
export interface Base {
  image: string;
  /** The branch or tag that it was built from. */
  branch: string;
  /** Null for an image that another service made. */
  commit: string | null;
  match: 'same' | 'version' | 'prefix' | 'fallback';
}

/** How far GitHub has been told of a build. */
export interface Status {
  /** Under which name it is listed on the commit. */
  context: string;
  state: 'pending' | 'success' | 'failure' | 'error';
  /** When GitHub took it; null: it waits, or was given up. */
  reported: string | null;
  attempts: number;
  /** Why GitHub does not show it, in one line. */
  problem: string | null;
  next_try: string | null;
  given_up: boolean;
}

export interface Build {
  id: string;
  repository: string;
  branch: string;
  ref: string;
  commit: string;
  script: string;
  tag: string | null;
  kind: 'flist' | 'binary' | 'kernel' | 'configuration';
  cause: Cause;
  state: BuildState;
  /** Why the build is where it is, in one line. */
  reason: string | null;
  /** What a queued build waits for. */
  waiting: string | null;
  steps: Step[];
  queued: string;
  started: string | null;
  ended: string | null;
  /** 2 after it lost its container once. */
  attempt: number;
  exit_code: number | null;
  image: string | null;
  /** Null for whatever is no incremental kernel, and until it is chosen. */
  base: Base | null;
  container: string | null;
  limits: Limits | null;
  log: { bytes: number; lines: number };
  artifacts: Artifact[];
  /** Newest last. */
  commits: Commit[];
  /** Null where nothing is told, or a newer build of the same commit speaks for this one. */
  status: Status | null;
  url: string;
}

export interface BuildList {
  builds: Build[];
  next: string | null;
}

export interface ApiError {
  error: string;
  hint?: string | null;
}

export type ServerMessage =
  | { type: 'hello'; version: string; instance: string; revision: number }
  | { type: 'build'; revision: number; build: Build }
  | { type: 'following'; build: string; channel: number; offset: number; line: number }
  | { type: 'end'; build: string; channel: number; offset: number }
  | { type: 'error'; build: string | null; error: string; hint?: string | null };

/** Where in a log to begin: at a byte, at a line (the first is 1), or with the last lines. */
export type FollowFrom = { offset: number } | { line: number } | { tail: number };

export type ClientMessage =
  | { type: 'builds'; since: number | null }
  | ({ type: 'follow'; build: string } & FollowFrom)
  | { type: 'unfollow'; build: string };
