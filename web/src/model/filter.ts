/** What the overview shows, and its place in the address. */
import type { Build, BuildState } from '../api/types';
import { hasEnded } from './states';

export interface Filter {
  readonly repository: string;
  readonly branch: string;
  /** An end state, or nothing for all of them. */
  readonly state: string;
  readonly text: string;
}

export const NO_FILTER: Filter = { repository: '', branch: '', state: '', text: '' };

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

/** Whether a build belongs to the history that is shown. */
export function matchesHistory(build: Build, filter: Filter): boolean {
  if (!hasEnded(build) || !matches(build, filter)) return false;
  return filter.state === '' || filter.state.split(',').includes(build.state satisfies BuildState);
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
