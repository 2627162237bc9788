import type {
  ApiError,
  AskedBuild,
  Build,
  BuildList,
  BuildsQuery,
  Caused,
  Configuration,
  Lane,
  RepositoriesQuery,
  RepositoryList,
  Service,
  Session,
} from './types';

/** A request that did not work out, in words for the person who looks at the page. */
export class RequestFailed extends Error {
  constructor(
    readonly what: string,
    readonly hint: string,
    /** The HTTP status; 0 when no answer came. */
    readonly status: number,
  ) {
    super(what);
    this.name = 'RequestFailed';
  }
}

export function listBuilds(query: BuildsQuery, signal?: AbortSignal): Promise<BuildList> {
  return json(`/api/v1/builds${searchOf(query)}`, reading(signal));
}

export function getBuild(id: string, signal?: AbortSignal): Promise<Build> {
  return json(buildAddress(id), reading(signal));
}

/** The builds before and after one of the same branch, script and tag. */
export function getLane(id: string, signal?: AbortSignal): Promise<Lane> {
  return json(`${buildAddress(id)}/lane`, reading(signal));
}

export function listRepositories(query: RepositoriesQuery, signal?: AbortSignal): Promise<RepositoryList> {
  return json(`/api/v1/repositories${searchOf(query)}`, reading(signal));
}

export function getConfiguration(): Promise<Configuration> {
  return json('/api/v1/configuration', reading());
}

export function getService(): Promise<Service> {
  return json('/api/v1/service', reading());
}

export function getSession(): Promise<Session> {
  return json('/api/v1/session', reading());
}

export function signIn(token: string): Promise<Session> {
  return json('/api/v1/session', posting({ token }));
}

export async function signOut(): Promise<void> {
  await request('/api/v1/session', { method: 'DELETE' }, () => Promise.resolve());
}

export function cancelBuild(id: string): Promise<unknown> {
  return json(`${buildAddress(id)}/cancel`, posting());
}

export function rebuild(id: string): Promise<Caused> {
  return json(`${buildAddress(id)}/rebuild`, posting());
}

export function startBuild(asked: AskedBuild): Promise<Caused> {
  return json('/api/v1/builds', posting(asked));
}

export function buildAddress(id: string): string {
  return `/api/v1/builds/${encodeURIComponent(id)}`;
}

function searchOf(query: object): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') search.set(key, String(value));
  }
  return search.size === 0 ? '' : `?${search}`;
}

export function reading(signal?: AbortSignal): RequestInit {
  return { signal: signal ?? null };
}

function posting(body?: object): RequestInit {
  if (body === undefined) return { method: 'POST' };
  return { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
}

export function json<T>(path: string, init: RequestInit): Promise<T> {
  return request(path, init, async (response) => {
    try {
      return (await response.json()) as T;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw new RequestFailed(
        'the answer could not be read',
        'Something between here and the service may have changed it.',
        response.status,
      );
    }
  });
}

/** So long one waits for the next bytes of an answer. */
const LONGEST_SILENCE_MS = 40_000;
/** Before, what is only read is asked for again, with twice the patience: the connection may be dead, and nobody said so. */
const FIRST_SILENCE_MS = 10_000;
/** After an outage most connections that the browser keeps are dead; each that is tried is closed. */
const SUSPICIOUS_SILENCE_MS = 1_000;

type Dropped = 'silent' | 'again';

/** What is being read now; each can be dropped, and is then asked for again. */
const readings = new Set<AbortController>();

/** The connection was lost and is back: what was asked for before may never be answered, and is asked for again. */
export function askAgain(): void {
  for (const reading of readings) reading.abort('again' satisfies Dropped);
}

/** Asks, and gives what `read` makes of the answer. */
export async function request<T>(
  path: string,
  init: RequestInit,
  read: (response: Response) => Promise<T>,
): Promise<T> {
  const kind = path.split('?', 1)[0] ?? path;
  let patience = isReading(init) ? FIRST_SILENCE_MS : LONGEST_SILENCE_MS;
  for (;;) {
    const attempt = new AbortController();
    if (isReading(init)) readings.add(attempt);
    try {
      return await ask(path, init, read, attempt, patience);
    } catch (error) {
      if (error instanceof RequestFailed || init.signal?.aborted) throw error;
      const dropped = attempt.signal.reason as Dropped | undefined;
      if (dropped === 'again') patience = SUSPICIOUS_SILENCE_MS;
      else if (dropped === 'silent' && patience < LONGEST_SILENCE_MS)
        patience = Math.min(2 * patience, LONGEST_SILENCE_MS);
      else {
        answered(kind, 0);
        throw new RequestFailed(
          'the service does not answer',
          'See that it runs and that the network is up.',
          0,
        );
      }
    } finally {
      readings.delete(attempt);
    }
  }
}

/** Asks once. The attempt is dropped when nothing comes for so long. */
async function ask<T>(
  path: string,
  init: RequestInit,
  read: (response: Response) => Promise<T>,
  attempt: AbortController,
  patience: number,
): Promise<T> {
  const kind = path.split('?', 1)[0] ?? path;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => attempt.abort('silent' satisfies Dropped), patience);
  };
  wait();
  try {
    const { signal } = attempt;
    const response = await fetch(path, {
      ...init,
      signal: init.signal ? AbortSignal.any([init.signal, signal]) : signal,
    });
    answered(kind, response.status);
    if (response.ok) return await read(watched(response, wait));
    if (response.status === 401 && isReading(init)) unauthorized();
    throw await failure(response);
  } finally {
    clearTimeout(timer);
  }
}

/** The same answer, of which each piece that comes is told. */
function watched(response: Response, came: () => void): Response {
  if (response.body === null) return response;
  const pieces = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(piece, controller) {
      came();
      controller.enqueue(piece);
    },
  });
  return new Response(response.body.pipeThrough(pieces), response);
}

function isReading(init: RequestInit): boolean {
  return init.method === undefined;
}

let unauthorized: () => void = () => undefined;

/** Watching needs the token now: what to do about it. */
export function onUnauthorized(act: () => void): void {
  unauthorized = act;
}

let answered: (path: string, status: number) => void = () => undefined;

/** Tells of each answer: what was asked, without its parameters, and the HTTP status; 0 when none came. */
export function onAnswer(act: (path: string, status: number) => void): void {
  answered = act;
}

async function failure(response: Response): Promise<RequestFailed> {
  let body: Partial<ApiError> = {};
  try {
    body = (await response.json()) as Partial<ApiError>;
  } catch {
    // Not every proxy on the way answers in JSON; the status alone has to do.
  }
  const what = body.error ?? `the service answered ${response.status} ${response.statusText}`.trim();
  return new RequestFailed(what, body.hint ?? hintFor(response.status), response.status);
}

function hintFor(status: number): string {
  if (status === 401) return 'Sign in, and try again.';
  if (status === 404) return 'It may have been removed by the retention rules; see the history.';
  if (status >= 500) return "Try again in a moment; the service's own log says more.";
  return 'Try again, or go back to the overview.';
}

/** What a page shows for anything that was thrown while it loaded. */
export function asFailure(error: unknown): RequestFailed {
  if (error instanceof RequestFailed) return error;
  return new RequestFailed(error instanceof Error ? error.message : String(error), 'Reload the page.', 0);
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}
