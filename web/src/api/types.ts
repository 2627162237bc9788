/** The shapes of the HTTP API and the live protocol, as docs/ describes them. */

export type RunningState = 'preparing' | 'building' | 'collecting' | 'publishing';
export type EndState =
  'succeeded' | 'failed' | 'errored' | 'timed_out' | 'cancelled' | 'superseded' | 'skipped';
export type BuildState = 'queued' | RunningState | EndState;

export type Cause =
  | { type: 'push'; delivery?: string | null; pusher?: string | null; forced?: boolean }
  | { type: 'dependency'; repository: string; commit: string }
  | { type: 'manual' }
  | { type: 'rebuild'; of: string }
  | { type: 'reconcile' }
  | { type: 'pull_request'; number?: number };

export interface Step {
  name: string;
  started: string | null;
  ended: string | null;
  /** The log line at which the step began; the first line is 1. */
  line: number | null;
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
  author: string | { name: string; email?: string | null } | null;
  url: string | null;
}

export type LimitValue = string | number | boolean | null;

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
  queued: string | null;
  started: string | null;
  ended: string | null;
  attempt: number;
  exit_code: number | null;
  image: string | null;
  container: string | null;
  limits: Record<string, LimitValue> | null;
  log: { bytes: number; lines: number };
  artifacts: Artifact[];
  commits: Commit[];
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
