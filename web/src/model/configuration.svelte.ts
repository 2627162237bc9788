/** The configuration that is in force, and what is wrong with it. */
import { asFailure, getConfiguration, type RequestFailed } from '../api/http';
import type { Build, Configuration } from '../api/types';
import { connection } from './connection.svelte';
import { hasEnded } from './states';

/** A local directory is read again without a build that would tell of it. */
const EVERY_MS = 5_000;

class ConfigurationState {
  current = $state.raw<Configuration | null>(null);
  failure = $state.raw<RequestFailed | null>(null);

  readonly errors = $derived(
    this.current?.findings.filter((finding) => finding.severity === 'error').length ?? 0,
  );

  start(): void {
    connection.listen({
      build: (build) => this.apply(build),
      refresh: () => void this.load(),
    });
    setInterval(() => {
      const isLocal = this.current !== null && 'path' in this.current.source;
      if (isLocal && document.visibilityState === 'visible' && connection.status === 'live') void this.load();
    }, EVERY_MS);
  }

  async load(): Promise<void> {
    try {
      this.current = await getConfiguration();
      this.failure = null;
    } catch (error) {
      this.failure = asFailure(error);
    }
  }

  private apply(build: Build): void {
    if (build.kind === 'configuration' && hasEnded(build)) void this.load();
  }
}

export const configuration = new ConfigurationState();
