/** What screen readers are told as it happens: states and the connection, never the log. */
class Announcer {
  /** What was said last. Each time it is another object, so that the same words come into the page anew. */
  said = $state.raw({ text: '' });

  say(text: string): void {
    this.said = { text };
  }
}

export const announcer = new Announcer();
