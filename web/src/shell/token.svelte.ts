/** The API token, which cancel and rebuild need: asked for once, kept until the tab closes. */

const KEY = 'autobuilder.token';

interface Question {
  /** What the token is wanted for, as `cancel this build`. */
  purpose: string;
  /** Why it is asked for again. */
  problem: string | null;
  answer(token: string | null): void;
}

class TokenKeeper {
  /** What the dialog shows; null while it is closed. */
  question = $state.raw<Question | null>(null);

  /** The kept token, or what the reader enters; null when they decline. */
  async get(purpose: string): Promise<string | null> {
    return sessionStorage.getItem(KEY) ?? this.ask(purpose, null);
  }

  /** Asks again, after the service refused the token. */
  async askAgain(purpose: string): Promise<string | null> {
    sessionStorage.removeItem(KEY);
    return this.ask(purpose, 'The service does not accept that token.');
  }

  private ask(purpose: string, problem: string | null): Promise<string | null> {
    return new Promise((resolve) => {
      this.question = {
        purpose,
        problem,
        answer: (token) => {
          this.question = null;
          if (token !== null) sessionStorage.setItem(KEY, token);
          resolve(token);
        },
      };
    });
  }
}

export const tokens = new TokenKeeper();
