/** Whether the service answers requests, which the live connection does not tell. */
import { onAnswer } from '../api/http';

class Answers {
  /** The last request had no answer, or that the service is not able to answer. */
  failing = $state(false);

  start(): void {
    onAnswer((status) => (this.failing = status === 0 || status >= 500));
  }
}

export const answers = new Answers();
