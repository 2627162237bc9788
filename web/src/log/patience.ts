/** Asks the service again until it answers: after a restart it is back in a moment. */
import { asFailure, RequestFailed } from '../api/http';
import { backoff } from '../api/live';

export class Patience {
  private readonly waiting = new Set<() => void>();

  /** Gives an answer, or throws what asking again would not change: a refusal, or that nobody asks any more. */
  async until<T>(
    ask: () => Promise<T>,
    signal: AbortSignal,
    failed: (failure: RequestFailed) => void,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await ask();
      } catch (error) {
        if (signal.aborted || !isPassing(error)) throw error;
        failed(asFailure(error));
        await this.pause(backoff(attempt, Math.random), signal);
        signal.throwIfAborted();
      }
    }
  }

  /** Asks at once for what is to be asked for a little later. */
  retry(): void {
    for (const wake of [...this.waiting]) wake();
  }

  private pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        this.waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal.addEventListener('abort', wake);
      this.waiting.add(wake);
    });
  }
}

/** Whether it is the service's or the network's state that failed a request, and not what was asked for. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof RequestFailed)) return false;
  const { status } = error;
  return status < 400 || status >= 500 || status === 408 || status === 429;
}
