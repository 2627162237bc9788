import type { Base, Build, Cause, Commit, Status } from '../api/types';

/** `41 s`, `3:12`, `1:02:45`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const two = (value: number) => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

/** `just now`, `5 min ago`, `3 h ago`, `2 d ago`, then the date. */
export function relative(then: number, now: number): string {
  const seconds = Math.floor((now - then) / 1000);
  if (seconds < 10) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ago`;
  const days = Math.floor(hours / 24);
  if (days < 14) return `${days} d ago`;
  return new Date(then).toLocaleDateString('en-CA');
}

/** `2026-03-09 14:05:12` in the reader's own time zone, with its name. */
export function exact(time: string): string {
  const date = new Date(time);
  const zone = Intl.DateTimeFormat('en', { timeZoneName: 'short' })
    .formatToParts(date)
    .find((part) => part.type === 'timeZoneName')?.value;
  return `${date.toLocaleDateString('en-CA')} ${date.toLocaleTimeString('en-GB')} ${zone ?? ''}`.trim();
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(size: number): string {
  let value = size;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

const NUMBER = new Intl.NumberFormat('en');

export function count(value: number): string {
  return NUMBER.format(value);
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function shortCommit(commit: string): string {
  return commit.slice(0, 8);
}

export function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}

/** The pushed commit: the one the build is of, or else the newest of the push. */
export function headCommit(build: Build): Commit | null {
  return build.commits.find((commit) => commit.id === build.commit) ?? build.commits.at(-1) ?? null;
}

export function authorOf(commit: Commit | null): string {
  return commit?.author ?? '';
}

/** `autobuild/build.sh` and its tag, as one name. */
export function scriptName(build: Pick<Build, 'script' | 'tag'>): string {
  return build.tag ? `${build.script} (${build.tag})` : build.script;
}

/** Why a build is in its state, or what it waits for. */
export function whyOf(build: Pick<Build, 'state' | 'waiting' | 'reason'>): string | null {
  return build.state === 'queued' ? (build.waiting ?? build.reason) : build.reason;
}

export function causeInWords(cause: Cause): string {
  switch (cause.type) {
    case 'push':
      return `${cause.forced ? 'forced push' : 'push'}${cause.pusher ? ` by ${cause.pusher}` : ''}`;
    case 'dependency':
      return `push to ${cause.repository} (${shortCommit(cause.commit)}), which this depends on`;
    case 'manual':
      return 'asked for by hand';
    case 'rebuild':
      return 'rebuild';
    case 'base':
      return 'makes the base';
    case 'reconcile':
      return 'found to be behind its branch';
    case 'imported':
      return `built before, as ${cause.id}`;
    default:
      // A service newer than this page may know more causes.
      return String((cause as { type: unknown }).type);
  }
}

/** Which base it is, and why this one. */
export function baseInWords(base: Base): string {
  const from = base.commit === null ? base.branch : `${base.branch} at ${shortCommit(base.commit)}`;
  switch (base.match) {
    case 'same':
      return `${from}, the branch of the same name`;
    case 'version':
      return `${from}, the longest branch that this one's name is a variant of`;
    case 'prefix':
      return `${from}, the longest branch that begins this one's name`;
    case 'fallback':
      return `${from}, as no other branch begins this one's name`;
  }
}

/** How far GitHub has been told: `GitHub shows failure`, or why it does not. */
export function deliveryInWords(status: Status, now: number): string {
  if (status.reported !== null) return `GitHub shows ${status.state}`;
  if (status.given_up) return `${status.state} was given up: ${status.problem ?? 'refused'}`;
  if (status.problem === null) return `${status.state} is on its way to GitHub`;
  const wait = status.next_try === null ? 0 : Date.parse(status.next_try) - now;
  const next = wait > 0 ? `next try in ${duration(wait)}` : 'tried again now';
  return `${status.state} waits: ${status.problem}; ${next}`;
}

/** Milliseconds from a build's start to its end, or to now. Null before its start. */
export function elapsed(build: Pick<Build, 'started' | 'ended'>, now: number): number | null {
  if (!build.started) return null;
  return (build.ended ? Date.parse(build.ended) : now) - Date.parse(build.started);
}
