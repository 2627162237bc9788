import { createSubscriber } from 'svelte/reactivity';

/** The time now, for what counts while it is looked at; ticks once a second, only while something reads it. */
class Clock {
  private readonly subscribe = createSubscriber((update) => {
    const timer = setInterval(update, 1000);
    return () => clearInterval(timer);
  });

  get now(): number {
    this.subscribe();
    return Date.now();
  }
}

export const clock = new Clock();
