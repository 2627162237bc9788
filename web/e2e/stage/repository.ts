/** A repository "on GitHub": a bare one that the service fetches from, and somebody's clone of it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { run } from './command';

/** What GitHub says instead of a commit where there is none. */
const NO_COMMIT = '0'.repeat(40);

export type Files = Record<string, string | Buffer>;

export interface Change {
  message?: string;
  author?: string;
}

export interface Push {
  repository: string;
  branch: string;
  payload: unknown;
}

/** Without whatever this user or machine has set. */
const ENVIRONMENT = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' };

function git(folder: string, args: string[]): Promise<string> {
  const who = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.org'];
  return run('git', [...who, ...args], { cwd: folder, env: ENVIRONMENT });
}

export class Repository {
  private constructor(
    readonly name: string,
    private readonly bare: string,
    private readonly clone: string,
  ) {}

  /** `folder/git` is what the service takes for GitHub. */
  static async create(folder: string, name: string): Promise<Repository> {
    const repository = new Repository(name, join(folder, 'git', name), join(folder, 'clones', name));
    for (const path of [repository.bare, repository.clone]) await mkdir(path, { recursive: true });
    await git(repository.bare, ['init', '--quiet', '--bare', '--initial-branch=main']);
    // GitHub, too, gives any commit that a ref ever pointed to, until it is collected.
    await git(repository.bare, ['config', 'uploadpack.allowAnySHA1InWant', 'true']);
    await git(repository.clone, ['init', '--quiet', '--initial-branch=main']);
    await git(repository.clone, ['remote', 'add', 'origin', repository.bare]);
    return repository;
  }

  /** Writes files and commits them; returns the commit's id. */
  async commit(files: Files, { message = 'A change', author = 'Ada' }: Change = {}): Promise<string> {
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(this.clone, path)), { recursive: true });
      await writeFile(join(this.clone, path), content);
    }
    await git(this.clone, ['add', '--all']);
    const by = `--author=${author} <${author.toLowerCase().replaceAll(' ', '.')}@example.org>`;
    await git(this.clone, ['commit', '--quiet', '--allow-empty', '--message', message, by]);
    return git(this.clone, ['rev-parse', 'HEAD']);
  }

  /**
   * Pushes HEAD to a branch, whatever was there, and returns what GitHub would tell of it.
   * Source: https://docs.github.com/en/webhooks/webhook-events-and-payloads#push
   */
  async push(branch = 'main'): Promise<Push> {
    const ref = `refs/heads/${branch}`;
    const before = await git(this.bare, ['for-each-ref', '--format=%(objectname)', ref]);
    await git(this.clone, ['push', '--quiet', '--force', 'origin', `HEAD:${ref}`]);
    const after = await git(this.clone, ['rev-parse', 'HEAD']);
    const range = before === '' ? ['-1'] : [`${before}..${after}`];
    const format = '%H%x1f%B%x1f%cI%x1f%an%x1f%ae%x1e';
    const log = await git(this.clone, ['log', '--reverse', ...range, `--format=${format}`]);
    const commits = log
      .split('\x1e')
      .filter((entry) => entry.trim() !== '')
      .map((entry) => this.told(entry.trim().split('\x1f')));
    const [owner, name] = this.name.split('/');
    const payload = {
      ref,
      before: before || NO_COMMIT,
      after,
      created: before === '',
      deleted: false,
      forced: false,
      repository: {
        id: 1,
        name,
        full_name: this.name,
        owner: { login: owner, name: owner },
        default_branch: 'main',
      },
      pusher: { name: 'ada', email: 'ada@example.org' },
      sender: { login: 'ada' },
      commits,
      head_commit: commits.at(-1),
    };
    return { repository: this.name, branch, payload };
  }

  private told([id, message, timestamp, name, email]: string[]) {
    const url = `https://github.com/${this.name}/commit/${id}`;
    return { id, message: message?.trim(), timestamp, url, author: { name, email } };
  }
}
