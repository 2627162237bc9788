/** What screen readers are told as it happens: states and the connection, never the log. */
class Announcer {
  text = $state('');

  say(text: string): void {
    this.text = text;
  }
}

export const announcer = new Announcer();
