/** Browser, services and network of the stories. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  chromium,
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  type Page,
} from 'playwright-core';
import { Service, type Settings } from './service';

export const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';

export function openBrowser(): Promise<Browser> {
  const page = fileURLToPath(new URL('../../dist/index.html', import.meta.url));
  if (!existsSync(page)) throw new Error('there is no dist/: npm run build');
  if (!existsSync(CHROMIUM)) throw new Error(`there is no ${CHROMIUM}: scripts/setup chromium`);
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
    // As a person has them: without, Chromium scrolls less far than it says.
    ignoreDefaultArgs: ['--hide-scrollbars'],
  });
}

export class Stage {
  private contexts: BrowserContext[] = [];
  /** What went wrong in the story's pages. */
  private problems: string[] = [];
  private readonly services: Service[] = [];

  private constructor(
    readonly browser: Browser,
    /** On which most stories are played. */
    readonly service: Service,
  ) {
    this.services.push(service);
  }

  static async open(): Promise<Stage> {
    const [browser, service] = await Promise.all([openBrowser(), Service.start()]);
    return new Stage(browser, service);
  }

  /** One more service, for stories that need another past or other settings; not started yet. */
  async another(settings: Settings = {}): Promise<Service> {
    const service = await Service.prepare(settings);
    this.services.push(service);
    return service;
  }

  /** A page of somebody who was never here before. */
  async page(
    path: string,
    options: BrowserContextOptions & { of?: Service; before?: (page: Page) => Promise<unknown> } = {},
  ): Promise<Page> {
    const { of = this.service, before, ...rest } = options;
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 800 }, ...rest });
    this.contexts.push(context);
    const page = await context.newPage();
    page.on('pageerror', (error) => this.problems.push(error.message));
    page.on('console', (message) => {
      // Each container that comes or goes changes this machine's network, and Chromium then gives up requests.
      const isOurs = !message.text().includes('ERR_NETWORK_CHANGED');
      if (message.type() === 'error' && isOurs) this.problems.push(message.text());
    });
    page.on('request', (request) => {
      const url = new URL(request.url());
      const isOurs = ['data:', 'blob:'].includes(url.protocol) || url.host === new URL(of.origin).host;
      if (!isOurs) this.problems.push(`${request.url()} is on another host`);
    });
    await before?.(page);
    await page.goto(`${of.origin}/monitor${path}`);
    return page;
  }

  /** For a story in which some requests are meant to fail: forgets what the browser says of them. */
  forgive(problem: RegExp): void {
    this.problems = this.problems.filter((text) => !problem.test(text));
  }

  /** The end of a story: closes its pages, and returns what went wrong in them. */
  async clear(): Promise<string[]> {
    // A story that failed on the way may have left the network broken.
    for (const { link } of this.services) link.comeBack();
    const problems = this.problems;
    await Promise.all(this.contexts.map((context) => context.close()));
    this.contexts = [];
    this.problems = [];
    return problems;
  }

  /** Returns what the services complained of. */
  async close(): Promise<string[]> {
    await this.browser.close();
    const complaints: string[] = [];
    for (const service of this.services) {
      complaints.push(...(await service.complaints()));
      await service.close();
    }
    return complaints;
  }
}
