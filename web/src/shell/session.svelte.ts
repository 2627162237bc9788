/**
 * Whether the reader may change things, and where the service is private, look. The token is given to the service
 * once and stands behind a cookie that no script can read; nothing of it is kept here.
 */
import { asFailure, getSession, onUnauthorized, signIn, signOut } from '../api/http';
import { connection } from '../model/connection.svelte';

interface Question {
  /** What signing in is wanted for, as `cancel this build`. */
  purpose: string | null;
  answer(signedIn: boolean): void;
}

class SessionState {
  signedIn = $state(false);
  /** Watching needs the token too. */
  private = $state(false);
  /** What the dialog asks for; null while it is closed. */
  question = $state.raw<Question | null>(null);

  /** The page shows how to sign in, and nothing else. */
  readonly locked = $derived(this.private && !this.signedIn);

  start(): void {
    onUnauthorized(() => {
      this.private = true;
      this.signedIn = false;
    });
    void this.ask();
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') void this.ask();
    });
  }

  /** Asks how things stand: another tab may have signed in or out, the service may have become private. */
  async ask(): Promise<void> {
    try {
      const session = await getSession();
      this.signedIn = session.signed_in;
      this.private = session.private;
    } catch {
      // The pages say what is wrong, where the content would have been.
    }
  }

  /** Null when it worked, or else why it did not. */
  async signIn(token: string): Promise<string | null> {
    try {
      const session = await signIn(token);
      this.signedIn = session.signed_in;
      this.private = session.private;
    } catch (error) {
      const failure = asFailure(error);
      if (failure.status === 401) return 'The service does not accept that token.';
      return `${failure.what}. ${failure.hint}`;
    }
    this.question?.answer(true);
    // What was refused before can be loaded now.
    connection.refresh();
    return null;
  }

  /** Null when it worked, or else why it did not. */
  async signOut(): Promise<string | null> {
    try {
      await signOut();
    } catch (error) {
      const failure = asFailure(error);
      return `Signing out did not work: ${failure.what}. ${failure.hint}`;
    }
    this.signedIn = false;
    // What was shown to somebody signed in must not stay in the page's memory.
    if (this.private) location.reload();
    return null;
  }

  /** Opens the dialog; resolves to whether the reader has signed in. */
  request(purpose: string | null): Promise<boolean> {
    this.question?.answer(false);
    return new Promise((resolve) => {
      this.question = {
        purpose,
        answer: (signedIn) => {
          this.question = null;
          resolve(signedIn);
        },
      };
    });
  }

  /**
   * Does one thing that only those who have signed in may do, and lets the reader sign in before or when the
   * service asks for it. Null when they decline.
   */
  async allow<T>(purpose: string, act: () => Promise<T>): Promise<T | null> {
    while (this.signedIn || (await this.request(purpose))) {
      try {
        return await act();
      } catch (error) {
        if (asFailure(error).status !== 401) throw error;
        this.signedIn = false;
      }
    }
    return null;
  }
}

export const session = new SessionState();
