/** The one stage that all stories share, because each start of a browser and a service takes seconds. */
import type { Service } from './service';
import { Stage } from './stage';
import { importArchive } from './archive';

export let stage: Stage;

let opening: Promise<Service> | null = null;

/** Lines of the long log, and builds of the long history. */
export const MANY_LINES = 10_000_000;
export const MANY_BUILDS = 100_000;

export async function openStage(): Promise<void> {
  stage = await Stage.open();
  // It takes half a minute, during which other stories are told.
  opening = stage.another().then(async (service) => {
    await importArchive(service, { builds: MANY_BUILDS, lines: MANY_LINES });
    await service.start();
    return service;
  });
  // Whoever waits for it is told; nobody might.
  opening.catch(() => undefined);
}

/** A service with a long past. */
export function archive(): Promise<Service> {
  if (opening === null) throw new Error('the stage is not open');
  return opening;
}

export async function closeStage(): Promise<string[]> {
  await opening?.catch(() => undefined);
  return stage.close();
}

/** Does something once, however many stories need it. */
export function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null;
  return () => (made ??= make());
}
