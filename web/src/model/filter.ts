/** What the overview shows, and its place in the address. */
import type { Build, BuildState } from '../api/types';
import { hasEnded, isRunning } from './states';

export interface Filter {
  readonly repository: string;
  readonly branch: string;
  /** States, comma separated, also the words `running` and `finished`; nothing for all of them. */
  readonly state: string;
  readonly text: string;
}

export const NO_FILTER: Filter = { repository: '', branch: '', state: '', text: '' };

const UNDER_WAY: readonly string[] = [
  'queued',
  'running',
  'preparing',
  'building',
  'collecting',
  'publishing',
];

const KEYS = ['repository', 'branch', 'state', 'text'] as const;

export function filterFromSearch(search: string): Filter {
  const parameters = new URLSearchParams(search);
  const value = (key: (typeof KEYS)[number]) => parameters.get(key)?.trim() ?? '';
  return {
    repository: value('repository'),
    branch: value('branch'),
    state: value('state'),
    text: value('text'),
  };
}

/** With its `?`; empty without a filter, so that the plain address stays plain. */
export function searchFromFilter(filter: Filter): string {
  const parameters = new URLSearchParams();
  for (const key of KEYS) if (filter[key] !== '') parameters.set(key, filter[key]);
  const search = parameters.toString();
  return search === '' ? '' : `?${search}`;
}

export function isFiltered(filter: Filter): boolean {
  return KEYS.some((key) => filter[key] !== '');
}

/** Whether a build belongs to what is shown, whatever its state. */
export function matches(build: Build, filter: Filter): boolean {
  if (filter.repository !== '' && build.repository !== filter.repository) return false;
  if (filter.branch !== '' && build.branch !== filter.branch) return false;
  return filter.text === '' || mentions(build, filter.text);
}

/** Whether a build is in one of the states that are shown. */
export function matchesState(build: Pick<Build, 'state'>, filter: Filter): boolean {
  const states = statesOf(filter);
  if (states.length === 0 || states.includes(build.state satisfies BuildState)) return true;
  return states.includes(isRunning(build.state) ? 'running' : hasEnded(build) ? 'finished' : build.state);
}

/** The states that the history is asked for; null where the filter is for builds under way alone. */
export function endStates(filter: Filter): string | null {
  const states = statesOf(filter);
  if (states.length === 0 || states.includes('finished')) return 'finished';
  // What this page does not know is left to the service, which says so.
  const ends = states.filter((state) => !UNDER_WAY.includes(state));
  return ends.length === 0 ? null : ends.join(',');
}

/** Whether a build belongs to the history that is shown. */
export function matchesHistory(build: Build, filter: Filter): boolean {
  return hasEnded(build) && matches(build, filter) && matchesState(build, filter);
}

function statesOf(filter: Filter): string[] {
  return filter.state
    .split(',')
    .map((state) => state.trim())
    .filter((state) => state !== '');
}

function mentions(build: Build, text: string): boolean {
  const wanted = text.toLowerCase();
  const places = [
    build.repository,
    build.branch,
    build.script,
    build.tag ?? '',
    build.commit,
    ...build.commits.flatMap((commit) => [commit.id, commit.message, commit.author]),
  ];
  return places.some((place) => place.toLowerCase().includes(wanted));
}
