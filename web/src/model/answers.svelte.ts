/** Whether the service answers requests, which the live connection does not tell. */
import { SvelteSet } from 'svelte/reactivity';
import { onAnswer } from '../api/http';
import { connection } from './connection.svelte';

class Answers {
  /** What was asked for in vain, and not with success since. */
  private readonly inVain = new SvelteSet<string>();

  get failing(): boolean {
    return this.inVain.size > 0;
  }

  start(): void {
    onAnswer((path, status) => {
      if (status === 0 || status >= 500) this.inVain.add(path);
      else this.inVain.delete(path);
    });
    // Whatever is still wanted is asked for again, and may fail again.
    connection.listen({ refresh: () => this.forget() });
  }

  /** Other things are asked for now, as by another page. */
  forget(): void {
    this.inVain.clear();
  }
}

export const answers = new Answers();
