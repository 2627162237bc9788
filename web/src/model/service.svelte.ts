/** How the service is, as far as the top line tells it. */
import { getService } from '../api/http';
import type { Disk, Service } from '../api/types';
import { connection } from './connection.svelte';

const EVERY_MS = 30_000;

class ServiceState {
  current = $state.raw<Service | null>(null);

  /** The disk that is fullest. */
  readonly disk = $derived.by(() => {
    const disks = this.current?.disk.filter((disk) => disk.total > 0) ?? [];
    return disks.toSorted((one, two) => used(two) - used(one))[0] ?? null;
  });

  start(): void {
    connection.listen({ refresh: () => void this.load() });
    setInterval(() => {
      if (document.visibilityState === 'visible' && connection.status === 'live') void this.load();
    }, EVERY_MS);
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible' && connection.status === 'live') void this.load();
    });
  }

  private async load(): Promise<void> {
    try {
      this.current = await getService();
    } catch {
      // Not knowing how full the disk is hinders nobody; the next round asks again.
    }
  }
}

/** How much of a disk is used, from 0 to 1. */
export function used(disk: Disk): number {
  return disk.total === 0 ? 0 : 1 - disk.free / disk.total;
}

export const service = new ServiceState();
