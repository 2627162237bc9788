/**
 * A service with something to look at, for work on the pages:   npm run stage
 *
 * PORT       where it is served (5560, where the development server passes requests on to)
 * BUILDS     how many builds its history begins with (2,000)
 * LINES      how many lines the newest of them wrote (200,000)
 */
import { setTimeout as pause } from 'node:timers/promises';
import { LONG_LOG, importArchive } from './stage/archive';
import { RECIPE, RESULT, Service, TOKEN } from './stage/service';

const number = (name: string, otherwise: number) => Number(process.env[name] ?? otherwise);

/** A build of a minute or two that writes as compilers do, with steps, colours and a progress bar. */
const BUSY = `
for part in configure compile link; do
  printf '\\033[1m== %s\\033[0m\\n' $part
  for i in $(seq 1 400); do
    printf '\\033[32m[%3d%%]\\033[0m cc -O2 -Wall -c src/%s_%d.c -o build/%s_%d.o\\n' $((i / 4)) $part $i $part $i
    [ $((i % 60)) -ne 0 ] || printf "\\033[1;33mwarning:\\033[0m src/%s_%d.c:%d: unused variable 'index'\\n" $part $i $i
    usleep 90000
  done
done
for i in $(seq 0 5 100); do printf '\\rpacking %3d %%' $i; usleep 100000; done; echo
${RESULT}`;

const FAILING = `
for i in $(seq 1 200); do echo "cc -O2 -c src/part_$i.c"; done
echo "src/part_200.c:41:7: error: 'size' undeclared (first use in this function)" >&2
echo 'make: *** [Makefile:12: all] Error 1' >&2
exit 2`;

const QUICK = `echo "checking the manual"; usleep 800000; echo "all links lead somewhere"\n${RESULT}`;

const service = await Service.prepare({}, number('PORT', 5560));

let closing = false;
async function close(): Promise<void> {
  if (closing) return;
  closing = true;
  console.log('ending the service and its builds …');
  await service.quiet().catch(() => undefined);
  await service.close();
  process.exit();
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void close());

const builds = number('BUILDS', 2000);
if (builds > 0) await importArchive(service, { builds, lines: number('LINES', 200_000) });
await service.start();
for (const name of ['acme/app', 'acme/docs', 'acme/web']) await service.configure(name, 'main', RECIPE);
await service.configure('acme/app', 'topic', RECIPE);

console.log(`${service.origin}/monitor`);
console.log(`token: ${TOKEN}; its log: ${service.path('service.log')}; Ctrl-C ends it`);
if (builds > 0) console.log(`the newest build of ${LONG_LOG.repository} has the long log`);

// More is pushed than runs at a time, so that something always waits.
for (let round = 1; ; round++) {
  if (closing) break;
  const busy = await service.list('state=running,queued').catch(() => []);
  if (busy.length < 4) {
    const change = { author: round % 2 === 0 ? 'Grace' : 'Ada Lovelace' };
    await service.build('acme/app', 'main', BUSY, {
      ...change,
      message: `Let the uploader resume (${round})`,
    });
    await service.build('acme/web', 'main', FAILING, {
      ...change,
      message: `Read the manifest once (${round})`,
    });
    await service.build('acme/docs', 'main', QUICK, {
      ...change,
      message: `Say it in fewer words (${round})`,
    });
    await service.build('acme/app', 'topic', BUSY, { ...change, message: `Try it with threads (${round})` });
  }
  await pause(5000);
}
