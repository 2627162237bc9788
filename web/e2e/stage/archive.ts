/**
 * A long past, made in seconds: a history as the service before this one kept it, and a log of any length,
 * both taken in by `autobuilder import`.
 */
import { mkdir, open, rm } from 'node:fs/promises';
import { run } from './command';
import type { Service } from './service';

export interface Archive {
  builds: number;
  /** Lines in the log of the newest build; none if left out. */
  lines?: number;
}

/** What every line of that log has. */
const LINE_BYTES = 100;
/** Lines that are written at once. The last five digits of their numbers are the same in each block. */
const BLOCK_LINES = 100_000;
const DIGITS = 8;

const NEWLINE = 10;
const ZERO = 48;

/** Every fiftieth line of the long log is a warning, and one is an error. */
export const WARNING_EVERY = 50;
export const errorLine = (lines: number) => Math.floor(lines * 0.8) + 1;

/** The repository of the build with the long log; all others have short names after it. */
export const LONG_LOG = { repository: 'acme/kernel', branch: 'main' };

/** What a line of the long log says of its own number. */
export const partOf = (line: number) => `part_${String(line).padStart(DIGITS, '0')}.o`;

/** Takes the archive into a service that does not run. */
export async function importArchive(service: Service, { builds, lines = 0 }: Archive): Promise<void> {
  const old = service.path('old');
  await mkdir(`${old}/logs/commits`, { recursive: true });
  await run('sqlite3', ['-batch', `${old}/history.sqlite`], { input: history(builds) });
  if (lines > 0) await writeLog(`${old}/logs/commits/${oldId(builds)}`, lines);
  await service.command('import', `${old}/history.sqlite`);
  await rm(old, { recursive: true });
}

const oldId = (number: number) => `${number.toString(16).padStart(8, '0')}-a3c1-4f4e-9f39-3f8a3a4f3c55`;

/** Rows whose values repeat with different periods, so that every filter finds some and none finds all. */
function history(builds: number): string {
  return `
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE history (id integer, created datetime, push text, content text);
CREATE TEMP TABLE of_repository AS SELECT key AS at, value AS name FROM json_each('["app", "web", "kernel", "tools", "docs", "proxy", "store"]');
CREATE TEMP TABLE of_branch AS SELECT key AS at, value AS name FROM json_each('["main", "development", "release-2.1"]');
CREATE TEMP TABLE of_author AS SELECT key AS at, value AS name FROM json_each('["Ada Lovelace", "Grace", "Łukasz", "山田太郎"]');
CREATE TEMP TABLE of_message AS SELECT key AS at, value AS text FROM json_each('["Read the manifest once", "Let the uploader resume", "Fix off-by-one in the pager <b>", "Merge branch development"]');
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${builds}),
rows AS (
  SELECT n, printf('%08x-a3c1-4f4e-9f39-3f8a3a4f3c55', n) AS id, printf('%040x', n) AS sha,
    iif(n = ${builds}, '${LONG_LOG.repository}', 'acme/' || of_repository.name) AS repository,
    iif(n = ${builds}, '${LONG_LOG.branch}', of_branch.name) AS branch,
    of_author.name AS author, of_message.text || ' (' || n || ')' AS message,
    n = ${builds} OR n % 5 = 0 AS failed, 1500000000 + n * 900 AS started, 20 + n * 7919 % 240 AS took
  FROM numbers
  JOIN of_repository ON of_repository.at = n % 7
  JOIN of_branch ON of_branch.at = n % 3
  JOIN of_author ON of_author.at = n % 4
  JOIN of_message ON of_message.at = n / 4 % 4
)
INSERT INTO history SELECT n, datetime(started, 'unixepoch'),
  json_object('ref', 'refs/heads/' || branch, 'repository', json_object('full_name', repository), 'head_commit', json_object('id', sha)),
  json_object('id', id, 'status', iif(failed, 'error', 'success'), 'name', repository || '/' || branch, 'monitor', '',
    'docker', '0123456789', 'started', started, 'ended', started + took, 'error', iif(failed, 'exit code 2', NULL),
    'commits', json_array(json_object('id', sha, 'message', message, 'url', 'https://github.com/' || repository || '/commit/' || sha,
      'author', json_object('name', author))), 'artifact', NULL, 'tag', NULL, 'baseimage', 'ubuntu:16.04')
FROM rows;
`;
}

/** Lines of one length that each say their number. Within a block only its first three digits change. */
async function writeLog(path: string, lines: number): Promise<void> {
  const block = Buffer.alloc(BLOCK_LINES * LINE_BYTES, ' ');
  const digitsAt = new Uint32Array(BLOCK_LINES);
  for (let at = 0; at < BLOCK_LINES; at++) {
    const text = lineText(at + 1);
    block.write(text, at * LINE_BYTES);
    block[(at + 1) * LINE_BYTES - 1] = NEWLINE;
    digitsAt[at] = at * LINE_BYTES + text.indexOf('part_') + 'part_'.length;
  }
  const file = await open(path, 'w');
  for (let first = 1; first <= lines; first += BLOCK_LINES) {
    digitsAt.forEach((digits, at) => {
      const upper = Math.floor((first + at) / BLOCK_LINES);
      block[digits] = ZERO + Math.floor(upper / 100);
      block[digits + 1] = ZERO + (Math.floor(upper / 10) % 10);
      block[digits + 2] = ZERO + (upper % 10);
    });
    await file.write(block, 0, Math.min(BLOCK_LINES, lines - first + 1) * LINE_BYTES);
  }
  const error = errorLine(lines);
  const text = `src/main.c:41:7: error: 'size' undeclared, so there is no ${partOf(error)}`;
  await file.write(`${text.padEnd(LINE_BYTES - 1)}\n`, (error - 1) * LINE_BYTES);
  await file.close();
}

function lineText(line: number): string {
  const name = `src/module_${line % 997}/file_${line % 31}.c`;
  if (line % WARNING_EVERY === 0)
    return `\x1b[1;33mwarning:\x1b[0m ${name}:${line % 400}: unused 'index' in ${partOf(line)}`;
  return `\x1b[32m[${String(line % 100).padStart(2)}%]\x1b[0m gcc -O2 -Wall -c ${name} -o ${partOf(line)}`;
}
