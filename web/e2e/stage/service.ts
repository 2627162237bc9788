/** The real service as a process of its own, with everything of it in one folder. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { existsSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Build, BuildList, BuildState } from '../../src/api/types';
import { run } from './command';
import { removeAllOf, touch } from './docker';
import { Link } from './link';
import { Repository, type Change, type Files, type Push } from './repository';
import { found } from './wait';

export const TOKEN = 'a-token-for-changes';
const WEBHOOK_SECRET = 'a-secret-shared-with-github';

/** `AUTOBUILDER` names another one, as the release that is measured. */
export const PROGRAM =
  process.env['AUTOBUILDER'] ?? fileURLToPath(new URL('../../../target/debug/autobuilder', import.meta.url));

/** For a start with a database that has to be recovered, on a busy machine. */
const START_MS = 30_000;

export type Settings = { [key: string]: unknown };

/** A script waits here until the story calls `go`. */
export const hold = (name: string) => `until [ -e /tmp/go-${name} ]; do usleep 20000; done\n`;

/** The recipe of a script without an artifact's publication. */
export const RECIPE = 'buildscripts: [build.sh]\nbuild.sh:\n  artifact: result.tar.gz\n';

/** Leaves the artifact that the recipe wants. */
export const RESULT = 'echo done >/target/result.tar.gz\n';

export class Service {
  private process: ChildProcess | null = null;
  private instance = '';
  private port = 0;
  private readonly repositories = new Map<string, Repository>();

  private constructor(
    readonly folder: string,
    /** All that talk to it over HTTP do so through this. */
    readonly link: Link,
    private settings: Settings,
  ) {}

  /** Everything but the start, so that something can be imported before. */
  static async prepare(changes: Settings = {}, port = 0): Promise<Service> {
    if (!existsSync(PROGRAM)) throw new Error(`there is no ${PROGRAM}: cargo build`);
    const folder = await mkdtemp(join(tmpdir(), 'autobuilder-stage-'));
    for (const name of ['git', 'configuration']) await mkdir(join(folder, name));
    const link = await Link.open(port);
    const settings = {
      listen: '127.0.0.1:0',
      public_url: link.origin,
      data_directory: './data',
      api_token: TOKEN,
      shutdown_grace: '1s',
      configuration: { path: './configuration' },
      github: {
        webhook_secret: WEBHOOK_SECRET,
        git_url: join(folder, 'git'),
        manage_webhooks: false,
        first_sight: 'record',
      },
      docker: {
        container_prefix: `${basename(folder).toLowerCase()}-`,
        default_image: 'autobuilder/busybox:test',
        memory: '256MiB',
        pids: 200,
      },
      builds: { concurrency: 2 },
    };
    const service = new Service(folder, link, merged(settings, changes));
    await service.writeSettings();
    return service;
  }

  static async start(changes: Settings = {}, port = 0): Promise<Service> {
    const service = await Service.prepare(changes, port);
    await service.start();
    return service;
  }

  get origin(): string {
    return this.link.origin;
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  // ---- Its process

  /** Starts it on its data; again on the port that it had. */
  async start(): Promise<void> {
    const log = this.path('service.log');
    const said = existsSync(log) ? (await readFile(log)).length : 0;
    const output = openSync(log, 'a');
    const child = spawn(PROGRAM, ['serve', '--log-format', 'json', '--config', this.path('config.yaml')], {
      stdio: ['ignore', output, output],
      env: environment(),
    });
    this.process = child;
    process.once('exit', () => child.kill('SIGKILL'));
    const ready = await found(
      'the service is ready',
      async () => {
        const text = (await readFile(log)).subarray(said).toString();
        const line = text.split('\n').find((line) => line.includes('"ready"'));
        if (line !== undefined) return JSON.parse(line) as Ready;
        if (child.exitCode !== null) throw new Error(`the service did not start:\n${text}`);
        return null;
      },
      START_MS,
    );
    const { address, instance } = ready.fields ?? ready;
    this.instance = instance;
    this.port = Number(address.split(':').at(-1));
    this.link.target = this.port;
  }

  /** Ends it as a power failure would. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** Ends it as an operator would. */
  async terminate(): Promise<void> {
    await this.end('SIGTERM');
  }

  /** Takes other settings, with which it starts next. */
  async change(changes: Settings): Promise<void> {
    this.settings = merged(this.settings, changes);
    await this.writeSettings();
  }

  get processId(): number {
    return this.process?.pid ?? 0;
  }

  /** Its own log, of all its processes. */
  async ownLog(): Promise<string> {
    return readFile(this.path('service.log'), 'utf8').catch(() => '');
  }

  /** Lines that should not be there, whatever a build or an outsider does wrong. */
  async complaints(): Promise<string[]> {
    const lines = (await this.ownLog()).split('\n');
    return lines.filter((line) => line.includes('"level":"ERROR"') || line.includes('panicked at'));
  }

  /** Runs a command of the program beside the service file. */
  command(...args: string[]): Promise<string> {
    return run(PROGRAM, [...args, '--config', this.path('config.yaml')], {
      cwd: this.folder,
      env: environment(),
    });
  }

  async close(): Promise<void> {
    await this.link.close();
    await this.terminate();
    if (this.instance !== '') await removeAllOf(this.instance);
    await rm(this.folder, { recursive: true, force: true });
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.process;
    if (child === null) return;
    this.process = null;
    this.link.target = null;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      const late = setTimeout(() => child.kill('SIGKILL'), 15_000);
      await ended;
      clearTimeout(late);
    }
    this.settings['listen'] = `127.0.0.1:${this.port}`;
    await this.writeSettings();
  }

  private async writeSettings(): Promise<void> {
    // JSON is YAML.
    await replace(this.path('config.yaml'), JSON.stringify(this.settings, null, 2));
  }

  // ---- What it builds

  async repository(name: string): Promise<Repository> {
    const known = this.repositories.get(name) ?? (await Repository.create(this.folder, name));
    this.repositories.set(name, known);
    return known;
  }

  /** Writes the file of one branch, and waits until it was looked at. */
  async configure(name: string, branch: string, text: string): Promise<void> {
    const configuration = async () => (await this.request('/api/v1/configuration')).text();
    const before = await configuration();
    const path = this.path('configuration', name, `${branch}.yaml`);
    await mkdir(dirname(path), { recursive: true });
    await replace(path, text);
    await found('the configuration is loaded', async () =>
      (await configuration()) === before ? null : true,
    );
  }

  /** Tells of a push as GitHub does, and returns its builds. */
  async deliver(push: Push): Promise<string[]> {
    const body = JSON.stringify(push.payload);
    const response = await fetch(`${this.direct}/build/stage/hook`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-github-event': 'push',
        'x-github-delivery': randomUUID(),
        'x-hub-signature-256': `sha256=${createHmac('sha256', WEBHOOK_SECRET).update(body).digest('hex')}`,
      },
      body,
    });
    if (response.status !== 202)
      throw new Error(`the webhook was answered ${response.status}: ${await response.text()}`);
    const { builds } = (await response.json()) as { builds: { id: string }[] };
    return builds.map(({ id }) => id);
  }

  /** Pushes files to a branch of a repository whose `build.sh` is built, and returns the first build. */
  async build(name: string, branch: string, files: Files | string, change: Change = {}): Promise<string> {
    const repository = await this.repository(name);
    const path = this.path('configuration', name, `${branch}.yaml`);
    if (!existsSync(path)) await this.configure(name, branch, RECIPE);
    const contents = typeof files === 'string' ? { 'build.sh': `#!/bin/sh\n${files}` } : files;
    await repository.commit(contents, change);
    const [id] = await this.deliver(await repository.push(branch));
    if (id === undefined) throw new Error(`a push to ${name}, ${branch} is not built`);
    return id;
  }

  /** Lets a script go on that waits in `hold`. Docker alone does it: the service may be down. */
  async go(build: string, name: string): Promise<void> {
    const { container_prefix } = this.settings['docker'] as { container_prefix: string };
    await touch(`${container_prefix}${build}`, `/tmp/go-${name}`);
  }

  // ---- What it says, without the link in between

  private get direct(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  request(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { authorization: `Bearer ${TOKEN}`, ...init.headers };
    return fetch(`${this.direct}${path}`, { ...init, headers });
  }

  async get<T>(path: string): Promise<T> {
    const response = await this.request(path);
    if (!response.ok) throw new Error(`${path} was answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as T;
  }

  one(id: string): Promise<Build> {
    return this.get(`/api/v1/builds/${id}`);
  }

  async list(query = ''): Promise<Build[]> {
    return (await this.get<BuildList>(`/api/v1/builds?${query}`)).builds;
  }

  async logOf(id: string): Promise<string> {
    return (await this.request(`/api/v1/builds/${id}/log`)).text();
  }

  /** Waits for a state, and fails at once when the build ends in another. */
  reaches(id: string, state: BuildState): Promise<Build> {
    return found(`build ${id} becomes ${state}`, async () => {
      const build = await this.one(id);
      if (build.state === state) return build;
      if (build.ended !== null)
        throw new Error(
          `build ${id} is ${build.state} (${build.reason}), not ${state}:\n${await this.logOf(id)}`,
        );
      return null;
    });
  }

  async cancel(id: string): Promise<void> {
    await this.request(`/api/v1/builds/${id}/cancel`, { method: 'POST' });
  }

  /** Ends whatever still runs or waits. */
  async quiet(): Promise<void> {
    await found('all builds have ended', async () => {
      const busy = await this.list('state=running,queued');
      await Promise.all(busy.map(({ id }) => this.cancel(id)));
      return busy.length === 0 ? true : null;
    });
  }
}

interface Told {
  address: string;
  instance: string;
}
type Ready = Told & { fields?: Told };

/** Nothing that this user has set for autobuilder. */
function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('AUTOBUILDER'));
  return { ...Object.fromEntries(own), RUST_LOG: 'info' };
}

/** As an editor does it: the new file takes the old one's place in one step. */
async function replace(path: string, text: string): Promise<void> {
  const fresh = `${path}.${randomBytes(4).toString('hex')}`;
  await writeFile(fresh, text);
  await rename(fresh, path);
}

function merged(settings: Settings, changes: Settings): Settings {
  const result = { ...settings };
  for (const [key, change] of Object.entries(changes)) {
    const old = result[key];
    result[key] = isSection(old) && isSection(change) ? merged(old, change) : change;
  }
  return result;
}

function isSection(value: unknown): value is Settings {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
