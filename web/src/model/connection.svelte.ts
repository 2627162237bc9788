/** The page's one live connection, and who is told what it brings. */
import { askAgain } from '../api/http';
import { LiveClient, type LiveStatus, type Socket } from '../api/live';
import type { Build } from '../api/types';

interface Listener {
  build?(build: Build): void;
  /** Ask again for everything: changes may have been missed, or requests have failed. */
  refresh?(): void;
}

class Connection {
  status = $state<LiveStatus>('connecting');
  /** When the next attempt begins, in ms since the epoch; null while there is none. */
  retryAt = $state<number | null>(null);

  private listeners = new Set<Listener>();
  private started = false;
  private told = false;
  /** Whether it was lost, and what is under way may be lost with it. */
  private lost = false;

  readonly live = new LiveClient(
    {
      connect: () => {
        const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
        return new WebSocket(`${scheme}://${location.host}/api/v1/live`) as unknown as Socket;
      },
    },
    {
      status: (status, retryIn) => {
        this.status = status;
        this.retryAt = retryIn === null ? null : Date.now() + retryIn;
        if (status === 'live' && this.lost) askAgain();
        if (status !== 'connecting') this.lost = status === 'reconnecting';
        // Where no live connection comes about, the page at least shows how things are now.
        if (status === 'reconnecting' && !this.told) this.refresh();
      },
      build: (build) => {
        for (const listener of this.listeners) listener.build?.(build);
      },
      refresh: () => this.refresh(),
    },
  );

  start(): void {
    this.live.start();
    if (this.started) return;
    this.started = true;
    addEventListener('online', () => this.live.retryNow());
    addEventListener('offline', () => this.live.interrupted());
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.live.retryNow();
    });
  }

  stop(): void {
    this.live.stop();
  }

  /** Lets everything be asked for again. */
  refresh(): void {
    this.told = true;
    for (const listener of this.listeners) listener.refresh?.();
  }

  /** Tells the listener until the returned function is called. */
  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

export const connection = new Connection();
