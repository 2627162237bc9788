/** Whether the service answers requests, which the live connection does not tell. */
import { SvelteSet } from 'svelte/reactivity';
import { onAnswer } from '../api/http';

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
  }

  /** Another page asks for other things. */
  forget(): void {
    this.inVain.clear();
  }
}

export const answers = new Answers();
