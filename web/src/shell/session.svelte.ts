/**
 * Whether the reader may change things, and where the service is private, look. The token is given to the service
 * once and stands behind a cookie that no script can read; nothing of it is kept here.
 */
import { asFailure, getSession, onUnauthorized, signIn, signOut } from '../api/http';
import { connection } from '../model/connection.svelte';
import { inWords } from '../model/sentences';

interface Question {
  /** What signing in is wanted for, as `cancel this build`. */
  purpose: string | null;
  answer(signedIn: boolean): void;
}

/** The other tabs of this browser share the cookie, and hear here that it has come or gone. */
const CHANNEL = 'autobuilder-session';
/** Pages do not wait for longer to know whether they may be shown; the service then refuses what it must. */
const KNOWN_AFTER_MS = 5000;

export class SessionState {
  /** Whether the service has been asked; nothing else is asked before. */
  known = $state(false);
  signedIn = $state(false);
  /** Watching needs the token too. */
  private = $state(false);
  /** What the dialog asks for; null while it is closed. */
  question = $state.raw<Question | null>(null);

  /** The page shows how to sign in, and nothing else. */
  readonly locked = $derived(this.private && !this.signedIn);

  private readonly tabs = new BroadcastChannel(CHANNEL);

  start(): void {
    onUnauthorized(() => {
      this.private = true;
      this.signedIn = false;
    });
    this.tabs.onmessage = () => void this.askAgain();
    setTimeout(() => (this.known = true), KNOWN_AFTER_MS);
    void this.ask();
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') void this.ask();
    });
  }

  /** Asks how things stand: another tab may have signed in or out, the service may have become private. */
  async ask(): Promise<void> {
    const wasLocked = this.locked;
    try {
      const session = await getSession();
      this.signedIn = session.signed_in;
      this.private = session.private;
    } catch {
      // The pages say what is wrong, where the content would have been.
    }
    this.known = true;
    // What was refused before can be loaded now.
    if (wasLocked && !this.locked) connection.refresh();
  }

  /** Another tab has signed in or out. */
  private async askAgain(): Promise<void> {
    await this.ask();
    if (this.locked) this.forget();
  }

  /** What was shown to somebody signed in must not stay in the page's memory, nor its connection open. */
  private forget(): void {
    connection.stop();
    location.reload();
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
      return inWords(failure);
    }
    this.question?.answer(true);
    this.tabs.postMessage('signed in');
    connection.refresh();
    return null;
  }

  /** Null when it worked, or else why it did not. */
  async signOut(): Promise<string | null> {
    try {
      await signOut();
    } catch (error) {
      return `Signing out did not work: ${inWords(asFailure(error))}`;
    }
    this.signedIn = false;
    this.tabs.postMessage('signed out');
    if (this.private) this.forget();
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
