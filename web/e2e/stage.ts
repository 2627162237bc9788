/** What a story needs: the fake service with the built page, and a browser. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export class Stage {
  private constructor(
    private readonly service: ChildProcess,
    private readonly browser: Browser,
    readonly origin: string,
  ) {}

  static async open(environment: Record<string, string> = {}): Promise<Stage> {
    if (!existsSync(here('../dist/index.html'))) throw new Error('there is no dist/: npm run build');
    if (!existsSync(CHROMIUM)) throw new Error(`there is no ${CHROMIUM}: scripts/setup chromium`);
    const service = spawn(process.execPath, [here('../dev/fake.mjs')], {
      env: { ...process.env, PORT: '0', BUILDS: '400', ...environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const origin = await announced(service);
    const browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
    });
    return new Stage(service, browser, origin);
  }

  /** A page of its own, and what went wrong in it. */
  async page(path: string, options: BrowserContextOptions = {}): Promise<{ page: Page; problems: string[] }> {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    const page = await context.newPage();
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text());
    });
    await page.goto(`${this.origin}/monitor${path}`);
    return { page, problems };
  }

  async runningBuild(): Promise<string> {
    const answer = await fetch(`${this.origin}/api/v1/builds?state=running`);
    const { builds } = (await answer.json()) as { builds: { id: string }[] };
    return builds[0]?.id ?? '';
  }

  loseConnections(): void {
    this.service.kill('SIGUSR2');
  }

  async close(): Promise<void> {
    await this.browser.close();
    this.service.kill();
  }
}

function announced(service: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    service.stdout?.once('data', (line: Buffer) => resolve(new URL(line.toString().trim()).origin));
    service.once('exit', (code) => reject(new Error(`the fake service ended with ${code}`)));
  });
}

/** The lines on screen, with their text. */
export function linesOnScreen(page: Page): Promise<{ number: number; text: string }[]> {
  return page.locator('.scroller').evaluate((scroller) => {
    const view = scroller.getBoundingClientRect();
    return Array.from(scroller.querySelectorAll<HTMLElement>('[data-line]'), (row) => ({
      number: Number(row.dataset['line']),
      text: row.querySelector('.text')?.textContent?.trim() ?? '',
      box: row.getBoundingClientRect(),
    }))
      .filter(({ box }) => box.bottom > view.top + 2 && box.top < view.bottom - 2)
      .map(({ number, text }) => ({ number, text }));
  });
}
