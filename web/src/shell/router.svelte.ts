/** The address is the state of the page: which view, which filter, which line. */

const BASE = '/monitor';

export type Route =
  | { page: 'overview' }
  | { page: 'repositories' }
  | { page: 'configuration' }
  | { page: 'build'; id: string }
  | { page: 'unknown' };

export function routeOf(pathname: string): Route {
  const path = pathname.replace(/\/+$/, '');
  if (path === BASE || path === '') return { page: 'overview' };
  if (path === `${BASE}/repositories`) return { page: 'repositories' };
  if (path === `${BASE}/configuration`) return { page: 'configuration' };
  const id = /^\/monitor\/builds\/([^/]+)$/.exec(path)?.[1];
  if (id === undefined) return { page: 'unknown' };
  try {
    return { page: 'build', id: decodeURIComponent(id) };
  } catch {
    return { page: 'unknown' };
  }
}

export function overviewPath(search = ''): string {
  return `${BASE}${search}`;
}

export function repositoriesPath(search = ''): string {
  return `${BASE}/repositories${search}`;
}

export function configurationPath(): string {
  return `${BASE}/configuration`;
}

export function buildPath(id: string): string {
  return `${BASE}/builds/${encodeURIComponent(id)}`;
}

/** Whether two addresses differ at most in the line. */
export function isSamePage(one: URL, other: URL): boolean {
  return one.pathname === other.pathname && one.search === other.search;
}

class Router {
  private url = $state.raw(new URL('http://localhost/'));

  /** Counts links followed and steps in the history: a link to a line leads there also if the address stays. */
  visits = $state(0);

  readonly path = $derived(this.url.pathname);
  readonly route = $derived<Route>(routeOf(this.path));
  readonly search = $derived(this.url.search);
  readonly hash = $derived(this.url.hash);

  private leaving = new Set<() => void>();

  start(): void {
    // Each page puts itself where the reader was, once it has what was there.
    history.scrollRestoration = 'manual';
    const read = () => (this.url = new URL(location.href));
    read();
    addEventListener('popstate', () => {
      read();
      this.visits += 1;
    });
    addEventListener('pagehide', () => this.leave());
    document.addEventListener('click', (event) => this.onClick(event));
  }

  go(to: string): void {
    this.leave();
    history.pushState(null, '', to);
    this.url = new URL(location.href);
  }

  /** Changes the address without a step in the history, as for what is typed into a filter. */
  replace(to: string): void {
    history.replaceState(history.state, '', to);
    this.url = new URL(location.href);
  }

  /** The reader's place in this page, as it was kept with this step of the history; null on a first visit. */
  place(): unknown {
    return history.state as unknown;
  }

  keep(place: unknown): void {
    history.replaceState(place, '');
  }

  /** Calls before another page is gone to by a link, until the returned function is called. */
  onLeave(act: () => void): () => void {
    this.leaving.add(act);
    return () => this.leaving.delete(act);
  }

  private leave(): void {
    for (const act of this.leaving) act();
  }

  /** Plain clicks on our own links stay in the page; everything else is the browser's. */
  private onClick(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || !link.href || link.target !== '' || link.hasAttribute('download')) return;
    const url = new URL(link.href);
    const ours = url.pathname === BASE || url.pathname.startsWith(`${BASE}/`);
    if (url.origin !== location.origin || !ours) return;
    event.preventDefault();
    if (isSamePage(url, this.url)) {
      // As the line that a click marks, a link within the page is no step: going back leaves the page. It leads
      // to its line, not to the place that was kept.
      this.keep(null);
      this.replace(url.href);
    } else this.go(url.href);
    this.visits += 1;
  }
}

export const router = new Router();
