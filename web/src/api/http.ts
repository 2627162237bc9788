import type { ApiError, Build, BuildList } from './types';

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

export interface BuildsQuery {
  limit?: number;
  before?: string | undefined;
  repository?: string | undefined;
  branch?: string | undefined;
  /** States, comma separated; also the words `running` and `finished`. */
  state?: string | undefined;
  text?: string | undefined;
}

export function listBuilds(query: BuildsQuery, signal?: AbortSignal): Promise<BuildList> {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') search.set(key, String(value));
  }
  return json<BuildList>(`/api/v1/builds?${search}`, { signal: signal ?? null });
}

export function getBuild(id: string, signal?: AbortSignal): Promise<Build> {
  return json<Build>(buildPath(id), { signal: signal ?? null });
}

export function cancelBuild(id: string, token: string): Promise<unknown> {
  return json(`${buildPath(id)}/cancel`, { method: 'POST', headers: bearer(token) });
}

/** Asks for the build again; resolves to the new build's id where the answer names it. */
export async function rebuild(id: string, token: string): Promise<string | null> {
  const answer = await json<{ id?: string; builds?: { id: string }[] }>(`${buildPath(id)}/rebuild`, {
    method: 'POST',
    headers: bearer(token),
  });
  return answer.id ?? answer.builds?.[0]?.id ?? null;
}

export function buildPath(id: string): string {
  return `/api/v1/builds/${encodeURIComponent(id)}`;
}

function bearer(token: string): Record<string, string> {
  return { Authorization: `Bearer ${token}` };
}

export async function json<T>(path: string, init: RequestInit): Promise<T> {
  const response = await request(path, init);
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new RequestFailed(
      'the answer could not be read',
      'Something between here and the service may have changed it.',
      response.status,
    );
  }
}

export async function request(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new RequestFailed('the service does not answer', 'See that it runs and that the network is up.', 0);
  }
  if (response.ok) return response;
  throw await failure(response);
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
