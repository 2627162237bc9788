// A stand-in for the service, for work on the monitor without Docker: made-up builds and logs behind the same
// HTTP API and live protocol, with the same Content-Security-Policy. Nothing here is kept.
//
//   npm run build && npm run dev:fake      serves dist/ at http://127.0.0.1:5560/monitor
//   npm run dev:fake & npm run dev         the same behind Vite's development server
//
// The API token is `fake`; SIGUSR2 breaks every live connection. Builds named in the first lines of the history show what is hard to make otherwise:
// a log of ten million lines, colours, progress bars, invalid bytes, very long lines.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';
import { GeneratedLog, GrowingLog, showcase } from './fakelogs.mjs';

const PORT = Number(process.env.PORT ?? 5560);
const LINES_PER_SECOND = Number(process.env.LINES_PER_SECOND ?? 20);
const FINISHED = Number(process.env.BUILDS ?? 3000);
const DIST = fileURLToPath(new URL('../dist/', import.meta.url));
const MAX_ANSWER = 1024 * 1024;
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "font-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

const builds = new Map();
const logs = new Map();
const sockets = new Set();
const instance = `fake-${process.pid}`;
let revision = 4711;
let serial = 10_000;

const REPOSITORIES = [
  ['acme/app', 'autobuild/build.sh', null],
  ['acme/kernel', 'autobuild/kernel.sh', 'x86_64'],
  ['threefold/zero-os-core', 'autobuild/build-core0.sh', 'core0'],
  ['acme/a-repository-with-quite-a-long-name-to-see-what-happens', 'autobuild/build-everything.sh', null],
];
const BRANCHES = ['main', 'development', 'feature/resumable-uploads', 'release-2.1'];
const MESSAGES = [
  'Read the manifest once, at the edge',
  'Let the uploader resume\n\nIt keeps its offset now.',
  'Fix off-by-one in the pager <b>not bold</b>',
  'A message that is rather long because its author wanted to say everything at once, in a single line, and did',
  'Merge branch “development”',
];
const AUTHORS = ['Ada Lovelace', 'grace', 'Łukasz', '山田太郎'];
const ENDS = [
  'succeeded',
  'succeeded',
  'succeeded',
  'failed',
  'succeeded',
  'timed_out',
  'succeeded',
  'cancelled',
];
/** What GitHub shows for an end; an error for all others. */
const SHOWN = { succeeded: 'success', skipped: 'success', failed: 'failure', timed_out: 'failure' };
const REASONS = {
  succeeded: null,
  failed: 'exit code 2 after 41 s, in autobuild/build.sh',
  errored: 'the commit no longer exists; it was replaced by a forced push',
  timed_out: 'not done after 45 min',
  cancelled: 'cancelled by hand',
  superseded: 'a newer push to this branch took its place',
  skipped: 'nothing changed that this script builds',
};

const hexOf = (seed, length) => {
  let text = '';
  for (let at = 0; text.length < length; at++) {
    text += Math.imul(seed + at * 7919 + 1, 2654435761)
      .toString(16)
      .replace('-', '')
      .padStart(8, '0');
  }
  return text.slice(0, length);
};
const time = (ms) => new Date(ms).toISOString();
const pick = (list, seed) => list[Math.abs(seed) % list.length];

function makeBuild({ id, at, state, repository, branch, took = 0, ...rest }) {
  const seed = Number(id.replace(/\D/g, '')) || 1;
  const [name, script, tag] = repository ?? pick(REPOSITORIES, seed);
  const commit = hexOf(seed, 40);
  const started = state === 'queued' ? null : at + 400;
  const ended = ['queued', 'preparing', 'building'].includes(state) ? null : at + 400 + took;
  const step = (stepName, from, to, line) => ({
    name: stepName,
    attempt: seed % 13 === 0 ? 2 : 1,
    started: time(from),
    ended: to === null ? null : time(to),
    line,
  });
  return {
    id,
    repository: name,
    branch: branch ?? pick(BRANCHES, seed >> 1),
    ref: 'refs/heads/main',
    commit,
    script,
    tag,
    kind: 'flist',
    cause: { type: 'push', pusher: 'grace', forced: seed % 17 === 0 },
    state,
    reason: REASONS[state] ?? null,
    waiting: null,
    steps:
      started === null
        ? []
        : [
            step('preparing', started, started + 3000, 1),
            step('building', started + 3000, ended, 6),
            ...(state === 'succeeded'
              ? [
                  step('collecting', ended - 900, ended - 500, 240),
                  step('publishing', ended - 500, ended, 244),
                ]
              : []),
          ],
    queued: time(at),
    started: started === null ? null : time(started),
    ended: ended === null ? null : time(ended),
    attempt: seed % 13 === 0 ? 2 : 1,
    exit_code: state === 'succeeded' ? 0 : state === 'failed' ? 2 : null,
    image: 'debian:12',
    base: null,
    container: `autobuilder-${id}`,
    limits: { memory: 16 * 1024 ** 3, cpus: null, pids: 4096, timeout: 2700 },
    log: { bytes: 0, lines: 0 },
    artifacts:
      state === 'succeeded'
        ? [
            {
              name: `${name.split('/')[1]}.tar.gz`,
              size: 1234567 * ((seed % 9) + 1),
              sha256: hexOf(seed + 1, 64),
              url: `/api/v1/builds/${id}/artifacts/result.tar.gz`,
            },
          ]
        : [],
    commits: [
      {
        id: hexOf(seed + 5, 40),
        message: pick(MESSAGES, seed + 1),
        author: pick(AUTHORS, seed + 1),
        url: 'https://github.com/acme/app/commit/1',
      },
      {
        id: commit,
        message: pick(MESSAGES, seed),
        author: pick(AUTHORS, seed),
        url: 'https://github.com/acme/app/commit/2',
      },
    ].slice(seed % 3 === 0 ? 0 : 1),
    status: {
      context: `autobuilder/${script}${tag ? ` (${tag})` : ''}`,
      state: ended === null ? 'pending' : (SHOWN[state] ?? 'error'),
      reported: seed % 5 === 0 ? null : time(ended ?? at),
      attempts: 1,
      problem: seed % 5 === 0 ? 'GitHub cannot be reached: 503 Service Unavailable' : null,
      next_try: seed % 5 === 0 ? time(Date.now() + 41_000) : null,
      given_up: false,
    },
    url: `http://127.0.0.1:${PORT}/monitor/builds/${id}`,
    ...rest,
  };
}

function add(build, log) {
  builds.set(build.id, build);
  logs.set(build.id, log);
  build.log = { bytes: log.bytes, lines: log.lines };
  build.revision = ++revision;
  for (const socket of sockets) socket.changed(build);
}

function change(build, values) {
  Object.assign(build, values);
  const log = logs.get(build.id);
  build.log = { bytes: log.bytes, lines: log.lines };
  build.revision = ++revision;
  for (const socket of sockets) socket.changed(build);
}

const nextId = () => `b${++serial}`;

function populate() {
  const now = Date.now();
  for (let age = FINISHED; age >= 1; age--) {
    const took = 20_000 + ((age * 7919) % 240_000);
    const state = pick([...ENDS, 'errored', 'superseded', 'skipped'], age * 31);
    add(makeBuild({ id: nextId(), at: now - age * 660_000, state, took }), new GeneratedLog(247));
  }
  const big = makeBuild({
    id: 'ten-million',
    at: now - 500_000,
    state: 'failed',
    took: 400_000,
    repository: REPOSITORIES[1],
  });
  add(big, new GeneratedLog(10_000_000));
  const colours = makeBuild({
    id: 'showcase',
    at: now - 300_000,
    state: 'failed',
    took: 90_000,
    repository: REPOSITORIES[0],
  });
  add(colours, showcase());
  for (let at = 0; at < 2; at++)
    run(
      makeBuild({
        id: nextId(),
        at: now - 40_000 * (at + 1),
        state: 'building',
        repository: REPOSITORIES[at],
      }),
    );
  add(
    makeBuild({
      id: nextId(),
      at: now - 9000,
      state: 'queued',
      waiting: 'waits for a free place (2 of 2)',
    }),
    new GrowingLog(),
  );
  add(
    makeBuild({
      id: nextId(),
      at: now - 4000,
      state: 'queued',
      waiting: "waits for its branch's running build",
    }),
    new GrowingLog(),
  );
}

function run(build) {
  const log = new GrowingLog();
  add(build, log);
  const perTick = Math.max(1, Math.round(LINES_PER_SECOND / 20));
  const timer = setInterval(
    () => {
      if (build.ended) return clearInterval(timer);
      log.grow(perTick);
    },
    Math.max(50, 1000 / LINES_PER_SECOND),
  );
  const beat = setInterval(() => (build.ended ? clearInterval(beat) : change(build, {})), 1000);
}

function end(build, state) {
  const now = Date.now();
  change(build, {
    state,
    reason: REASONS[state],
    waiting: null,
    ended: time(now),
    steps: build.steps.map((step) => ({ ...step, ended: step.ended ?? time(now) })),
  });
}

const RUNNING = ['preparing', 'building', 'collecting', 'publishing'];

function list(query) {
  const states = (query.get('state') ?? '').split(',').filter(Boolean);
  const isWanted = (build) => {
    const running = RUNNING.includes(build.state);
    const finished = !running && build.state !== 'queued';
    const inState = states.some(
      (s) => s === build.state || (s === 'running' && running) || (s === 'finished' && finished),
    );
    if (states.length > 0 && !inState) return false;
    for (const key of ['repository', 'branch'])
      if (query.get(key) && build[key] !== query.get(key)) return false;
    const text = query.get('text')?.toLowerCase();
    return (
      !text ||
      JSON.stringify([build.repository, build.branch, build.script, build.commits])
        .toLowerCase()
        .includes(text)
    );
  };
  const all = [...builds.values()].filter(isWanted).sort((a, b) => (a.queued < b.queued ? 1 : -1));
  const from = query.get('before') ? all.findIndex((build) => build.id === query.get('before')) + 1 : 0;
  const limit = Number(query.get('limit') ?? 50);
  const page = all.slice(from, from + limit);
  return { builds: page, next: from + limit < all.length ? page.at(-1).id : null };
}

function sendJson(response, status, value) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

function* numbered(log) {
  let line = 1;
  while (line <= log.lines) {
    const { bytes, next } = log.read(line, 10_000, MAX_ANSWER);
    const texts = bytes.toString('latin1').split('\n');
    if (texts.at(-1) === '') texts.pop();
    for (const text of texts) yield [line++, text];
    if (next === null) return;
    line = next;
  }
}

function sendFound(response, log, query, asMarks) {
  const text = query.get('q');
  let expression;
  try {
    const flags = query.get('case') === 'true' ? '' : 'i';
    expression = new RegExp(
      query.get('regex') === 'true' ? text : text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'),
      flags,
    );
  } catch (error) {
    return sendJson(response, 400, {
      error: `the expression cannot be read: ${error.message}`,
      hint: 'leave `regex` out',
    });
  }
  const matches = [];
  for (const [line, bytes] of numbered(log)) {
    const found = expression.exec(bytes);
    if (found) matches.push({ line, column: found.index + 1, length: found[0].length });
  }
  if (asMarks) {
    const buckets = Number(query.get('buckets') ?? 500);
    const bucket = Math.max(1, Math.ceil(log.lines / buckets));
    const counts = new Array(Math.ceil(log.lines / bucket)).fill(0);
    for (const { line } of matches) counts[Math.floor((line - 1) / bucket)] += 1;
    return sendJson(response, 200, {
      lines: log.lines,
      bucket_lines: bucket,
      counts,
      matches: matches.length,
    });
  }
  const limit = Number(query.get('limit') ?? 1000);
  const before = query.get('before');
  const list = before
    ? matches.filter(({ line }) => line < Number(before)).reverse()
    : matches.filter(({ line }) => line >= Number(query.get('from') ?? 1));
  return sendJson(response, 200, { matches: list.slice(0, limit), next: null });
}

function sendTimes(response, build, query) {
  const first = Number(query.get('line') ?? 1);
  const last = Math.min(logs.get(build.id).lines, first + Number(query.get('lines') ?? 1000) - 1);
  const times = [];
  for (let line = first; line <= last; line += 3)
    times.push({ line, time: time(Date.parse(build.started ?? build.queued) + line * 35) });
  return sendJson(response, 200, { times, next: null });
}

function sendLog(response, log, query) {
  if (query.has('offset'))
    return response.end(log.slice(Number(query.get('offset')), Number(query.get('limit') ?? MAX_ANSWER)));
  const headers = { 'content-type': 'text/plain; charset=utf-8' };
  const first = Number(query.get('line') ?? 1);
  const wanted = query.has('lines') ? Number(query.get('lines')) : Math.min(log.lines, 100_000);
  headers['x-log-offset'] = String(log.offsetOf(first));
  const { bytes, next } =
    wanted === 0 ? { bytes: Buffer.alloc(0), next: first } : log.read(first, wanted, MAX_ANSWER);
  response.writeHead(
    200,
    next !== null && query.has('lines') ? { ...headers, 'x-next-line': String(next) } : headers,
  );
  response.end(bytes);
}

async function sendFile(response, path) {
  const types = {
    '.html': 'text/html',
    '.js': 'text/javascript',
    '.css': 'text/css',
    '.svg': 'image/svg+xml',
  };
  const name = path.startsWith('/monitor/assets/') ? normalize(path.slice('/monitor/'.length)) : 'index.html';
  try {
    const content = await readFile(join(DIST, name));
    response.writeHead(200, {
      'content-type': types[extname(name)] ?? 'application/octet-stream',
      'content-security-policy': POLICY,
    });
    response.end(content);
  } catch {
    sendJson(response, 404, { error: 'not built', hint: 'npm run build' });
  }
}

function post(request, response, build, action) {
  if (request.headers.authorization !== 'Bearer fake')
    return sendJson(response, 401, { error: 'the token is wrong', hint: 'It is fake.' });
  if (action === 'cancel') {
    end(build, 'cancelled');
    return sendJson(response, 202, build);
  }
  const again = makeBuild({
    id: nextId(),
    at: Date.now(),
    state: 'building',
    cause: { type: 'rebuild', of: build.id },
    branch: build.branch,
    repository: [build.repository, build.script, build.tag],
  });
  run(again);
  return sendJson(response, 202, again);
}

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const [, id, action] = /^\/api\/v1\/builds\/([^/]+)(?:\/(.+))?$/.exec(url.pathname) ?? [];
  if (url.pathname === '/api/v1/builds') return sendJson(response, 200, list(url.searchParams));
  if (id) {
    const build = builds.get(decodeURIComponent(id));
    if (!build)
      return sendJson(response, 404, {
        error: `there is no build ${id}`,
        hint: 'It may have been removed by the retention rules.',
      });
    if (!action) return sendJson(response, 200, build);
    if (action === 'log/search') return sendFound(response, logs.get(build.id), url.searchParams, false);
    if (action === 'log/search/marks') return sendFound(response, logs.get(build.id), url.searchParams, true);
    if (action === 'log/times') return sendTimes(response, build, url.searchParams);
    if (action === 'log') return sendLog(response, logs.get(build.id), url.searchParams);
    if (request.method === 'POST' && (action === 'cancel' || action === 'rebuild'))
      return post(request, response, build, action);
    return sendJson(response, 404, { error: 'not in the fake' });
  }
  if (url.pathname.startsWith('/monitor')) return void sendFile(response, url.pathname);
  response.writeHead(302, { location: '/monitor' }).end();
});

/** One live connection: pulls from the logs at its own pace, as the service does. */
class LiveSocket {
  constructor(socket) {
    this.socket = socket;
    this.channels = new Map();
    this.channel = 0;
    this.wantsBuilds = false;
    this.send({ type: 'hello', version: 'fake', instance, revision });
    socket.on('message', (data) => this.receive(JSON.parse(data.toString())));
    socket.on('close', () => {
      clearInterval(this.timer);
      sockets.delete(this);
    });
    this.timer = setInterval(() => this.pull(), 20);
  }

  send(message) {
    this.socket.send(JSON.stringify(message));
  }

  changed(build) {
    if (this.wantsBuilds) this.send({ type: 'build', revision: build.revision, build });
  }

  receive(message) {
    if (message.type === 'builds') {
      this.wantsBuilds = true;
      if (message.since === null || message.since === undefined) return;
      for (const build of builds.values()) if (build.revision > message.since) this.changed(build);
    } else if (message.type === 'unfollow') {
      this.channels.delete(message.build);
    } else if (message.type === 'follow') {
      const log = logs.get(message.build);
      if (!log) return this.send({ type: 'error', build: message.build, error: 'there is no such build' });
      const line =
        message.line ?? ('tail' in message ? Math.max(1, log.lines - message.tail + 1) : undefined);
      const offset = line === undefined ? message.offset : log.offsetOf(line);
      const channel = ++this.channel;
      this.channels.set(message.build, { log, channel, offset });
      this.send({
        type: 'following',
        build: message.build,
        channel,
        offset,
        line: line ?? log.lineAt(offset),
      });
    }
    return undefined;
  }

  pull() {
    for (const [id, follower] of this.channels) {
      if (this.socket.bufferedAmount > 1024 * 1024) return;
      const bytes = follower.log.slice(follower.offset, 65_536);
      if (bytes.length > 0) {
        const header = Buffer.alloc(12);
        header.writeUInt32BE(follower.channel, 0);
        header.writeBigUInt64BE(BigInt(follower.offset), 4);
        this.socket.send(Buffer.concat([header, bytes]));
        follower.offset += bytes.length;
      } else if (builds.get(id).ended) {
        this.send({ type: 'end', build: id, channel: follower.channel, offset: follower.offset });
        this.channels.delete(id);
      }
    }
  }
}

// A way to lose every connection at once, as when the service restarts: kill -USR2.
process.on('SIGUSR2', () => {
  for (const { socket } of sockets) socket.terminate();
});

populate();
new WebSocketServer({ server, path: '/api/v1/live' }).on('connection', (socket) =>
  sockets.add(new LiveSocket(socket)),
);
server.listen(PORT, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/monitor`));
