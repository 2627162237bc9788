/** Docker as an onlooker sees it, by its own command line. */
import { run } from './command';
import { found } from './wait';

const label = (instance: string) => `label=autobuilder.instance=${instance}`;

async function ids(...args: string[]): Promise<string[]> {
  return (await run('docker', args)).split('\n').filter(Boolean);
}

/** Makes a file in a container, for a script that waits for it. A build is told to be building just before its container starts. */
export async function touch(container: string, path: string): Promise<void> {
  await found(`${container} runs`, async () => {
    try {
      await run('docker', ['exec', container, 'touch', path]);
      return true;
    } catch (error) {
      if (String(error).includes('is not running')) return null;
      throw error;
    }
  });
}

/** Removes everything that carries this data directory's label. */
export async function removeAllOf(instance: string): Promise<void> {
  for (const container of await ids('ps', '--all', '--quiet', '--filter', label(instance))) {
    // One that the service is just removing by itself is as good as removed.
    await run('docker', ['rm', '--force', '--volumes', container]).catch(() => '');
  }
  for (const kind of ['network', 'volume']) {
    for (const id of await ids(kind, 'ls', '--quiet', '--filter', label(instance))) {
      await run('docker', [kind, 'rm', id]).catch(() => '');
    }
  }
}
