/** A build's log over HTTP: lines, bytes, search, times. Lines are numbered from 1, offsets count bytes from 0. */
import { buildAddress, json, reading, request } from './http';
import type { components } from './openapi';

type Schemas = components['schemas'];

export interface LogLines {
  bytes: Uint8Array;
  /** The first line that is not in `bytes`; null at the log's end. */
  next: number | null;
  /** What was set above `bytes` and holds on, as SGR parameters; empty where nothing does. */
  style: string;
}

export interface LogQuery {
  text: string;
  /** Whether upper and lower case differ. */
  case: boolean;
  /** Whether the text is a regular expression, in the syntax of Rust's regex crate. */
  regex: boolean;
}

/** The first match in a line. Columns and lengths are in bytes, columns from 1. */
export type Match = Pick<Schemas['MatchView'], 'line' | 'column' | 'length'>;

export type Found = Pick<Schemas['FoundView'], 'next'> & { matches: Match[] };

/** How many lines match, for each `bucket_lines` lines of the log. */
export type Marks = Schemas['MarksView'];

/** One for the first line asked for, and one for each line at which the time changes. */
export type LogTimes = Pick<Schemas['TimesView'], 'times'>;

/** Which matches: those from a line on, or the last ones before a line, nearest first. */
export type Where = { from: number } | { before: number };

export function getLogLines(
  id: string,
  line: number,
  lines: number,
  signal?: AbortSignal,
): Promise<LogLines> {
  return askForLines(id, line, lines, signal, async (response) => {
    const next = Number(response.headers.get('X-Next-Line'));
    const style = response.headers.get('X-Log-Style') ?? '';
    return { bytes: await bytesOf(response), next: next > 0 ? next : null, style };
  });
}

/** Where a line begins; the log's length for the line after its last. */
export function getLineOffset(id: string, line: number, signal?: AbortSignal): Promise<number> {
  return askForLines(id, line, 0, signal, async (response) => {
    await response.arrayBuffer();
    return Number(response.headers.get('X-Log-Offset'));
  });
}

export function getLogBytes(
  id: string,
  offset: number,
  limit: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  return request(`${rawLogAddress(id)}?offset=${offset}&limit=${limit}`, reading(signal), bytesOf);
}

export function searchLog(
  id: string,
  query: LogQuery,
  where: Where,
  limit: number,
  signal?: AbortSignal,
): Promise<Found> {
  const search = inAddress(query);
  for (const [key, line] of Object.entries(where)) search.set(key, String(line));
  search.set('limit', String(limit));
  return json<Found>(`${rawLogAddress(id)}/search?${search}`, reading(signal));
}

export function getMarks(id: string, query: LogQuery, buckets: number, signal?: AbortSignal): Promise<Marks> {
  const search = inAddress(query);
  search.set('buckets', String(buckets));
  return json<Marks>(`${rawLogAddress(id)}/search/marks?${search}`, reading(signal));
}

export function getLogTimes(
  id: string,
  line: number,
  lines: number,
  signal?: AbortSignal,
): Promise<LogTimes> {
  return json<LogTimes>(`${rawLogAddress(id)}/times?line=${line}&lines=${lines}`, reading(signal));
}

export function rawLogAddress(id: string): string {
  return `${buildAddress(id)}/log`;
}

function askForLines<T>(
  id: string,
  line: number,
  lines: number,
  signal: AbortSignal | undefined,
  read: (response: Response) => Promise<T>,
): Promise<T> {
  return request(`${rawLogAddress(id)}?line=${line}&lines=${lines}`, reading(signal), read);
}

async function bytesOf(response: Response): Promise<Uint8Array> {
  return new Uint8Array(await response.arrayBuffer());
}

function inAddress(query: LogQuery): URLSearchParams {
  return new URLSearchParams({
    q: query.text,
    case: String(query.case),
    regex: String(query.regex),
  });
}
