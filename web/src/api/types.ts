/**
 * Names for the shapes of the HTTP API, which `npm run types` generates from docs/openapi.json, and the messages
 * of the live protocol (docs/live-protocol.md), which that document cannot describe.
 */
import type { components } from './openapi';

type Schemas = components['schemas'];

/**
 * What is not known is null, never left out (docs/http.md); the document marks whatever may be null as optional.
 */
type Whole<T> = T extends readonly (infer Item)[]
  ? Whole<Item>[]
  : T extends object
    ? { [Key in keyof T]-?: Whole<Exclude<T[Key], undefined>> }
    : T;

export type Build = Whole<Schemas['BuildView']> & { usual: Usual | null };
export type BuildState = Build['state'];
export type RunningState = Extract<BuildState, 'preparing' | 'building' | 'collecting' | 'publishing'>;
export type EndState = Exclude<BuildState, 'queued' | RunningState>;
export type Cause = Build['cause'];
export type Step = Build['steps'][number];
export type Artifact = Build['artifacts'][number];
export type Commit = Build['commits'][number];
export type Base = NonNullable<Build['base']>;
export type Status = NonNullable<Build['status']>;
export type BuildList = { builds: Build[]; next: string | null };
export interface Usual {
  total: number;
  steps: Record<string, number>;
}
export type Caused = Whole<Schemas['CausedView']>;
export type AskedBuild = Schemas['AskedBuild'];

export interface LaneBuild {
  id: string;
  commit: string;
  state: BuildState;
  queued: string;
  started: string | null;
  ended: string | null;
}
export interface Lane {
  older: string | null;
  newer: string | null;
  builds: LaneBuild[];
}

export interface RepositoryList {
  repositories: Repository[];
  next: string | null;
}
export interface Repository {
  name: string;
  tracked: boolean;
  branches: Branch[];
  durations: Duration[];
}
export interface Branch {
  name: string;
  ref: string;
  tracked: boolean;
  state: BuildState | null;
  ended: string | null;
  builds: BranchBuild[];
}
export interface BranchBuild {
  id: string;
  script: string;
  tag: string | null;
  state: BuildState;
  queued: string;
  started: string | null;
  ended: string | null;
}
export interface Duration {
  id: string;
  state: BuildState;
  seconds: number;
  ended: string;
}

export interface Service {
  version: string;
  instance: string;
  places: { total: number; running: number; waiting: number };
  disk: { name: string; path: string; free: number; total: number }[];
}
export type Disk = Service['disk'][number];

export interface Session {
  signed_in: boolean;
  private: boolean;
}

/** Findings alone leave out what they do not have. */
export type Finding = Schemas['Finding'];
export type Configuration = Whole<Omit<Schemas['ConfigurationView'], 'findings'>> & { findings: Finding[] };
export type ConfigurationFile = Configuration['files'][number];

export type ApiError = Schemas['ErrorView'];

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
