import { describe, expect, it, vi } from 'vitest';
import { Pages, type Row } from './pages';

const SIZE = 100;

interface Build extends Row {
  ended: boolean;
}

const idOf = (number: number) => `b${String(number).padStart(6, '0')}`;
const build = (number: number, ended = true): Build => ({ id: idOf(number), queued: idOf(number), ended });

/** What the service has, newest first, and how it was asked. */
class Service {
  readonly asked: (string | null)[] = [];
  readonly signals: AbortSignal[] = [];
  hold: Promise<void> = Promise.resolve();
  broken = false;

  constructor(public builds: Build[]) {}

  static with(count: number): Service {
    return new Service(Array.from({ length: count }, (_, at) => build(count - at)));
  }

  readonly ask = async (before: string | null, signal: AbortSignal) => {
    this.asked.push(before);
    this.signals.push(signal);
    await this.hold;
    if (signal.aborted) throw new DOMException('aborted', 'AbortError');
    if (this.broken) throw new Error('no answer');
    const at = before === null ? 0 : this.builds.findIndex(({ id }) => id === before) + 1;
    const known = before === null || at > 0;
    const page = known ? this.builds.slice(at, at + SIZE) : [];
    const more = known && at + SIZE < this.builds.length;
    return { builds: page, next: more ? (page.at(-1)?.id ?? null) : null };
  };
}

function pagesOf(service: Service, marks: ConstructorParameters<typeof Pages>[3] = null): Pages<Build> {
  return new Pages<Build>(
    service.ask,
    (row) => row.ended,
    () => undefined,
    marks,
  );
}

async function settled(pages: Pages<Build>): Promise<void> {
  await vi.waitFor(() => expect(pages.loading).toBe(false), { interval: 1 });
}

/** Scrolls down to a row, as a reader does. */
async function scrollTo(pages: Pages<Build>, row: number): Promise<void> {
  for (let at = 0; at <= row; at += 50) {
    pages.want(at, at + 50);
    await settled(pages);
  }
}

const here = (pages: Pages<Build>) => pages.rows(0, pages.total).filter((row) => row !== null).length;

describe('a long list', () => {
  it('begins with its newest page and the one after it', async () => {
    const service = Service.with(1000);
    const pages = pagesOf(service);
    expect(pages.begun).toBe(false);
    pages.want(0, 50);
    await settled(pages);
    expect(pages.total).toBe(100);
    expect(pages.complete).toBe(false);
    expect(pages.rows(0, 2).map((row) => row?.id)).toEqual([idOf(1000), idOf(999)]);
  });

  it('knows its end, and says so also when it is empty', async () => {
    const pages = pagesOf(Service.with(150));
    await scrollTo(pages, 150);
    expect([pages.total, pages.complete]).toEqual([150, true]);
    const empty = pagesOf(Service.with(0));
    empty.want(0, 50);
    await settled(empty);
    expect([empty.total, empty.complete, empty.begun]).toEqual([0, true, true]);
  });

  it('keeps ten pages at most, and fetches the others again when they are looked at', async () => {
    const service = Service.with(5000);
    const pages = pagesOf(service);
    await scrollTo(pages, 4000);
    expect(here(pages)).toBeLessThanOrEqual(11 * SIZE);
    expect(pages.rows(0, 1)).toEqual([null]);
    expect(pages.total).toBeGreaterThanOrEqual(4000);
    pages.want(300, 350);
    await settled(pages);
    expect(pages.rows(300, 301)[0]?.id).toBe(idOf(4700));
    expect(pages.indexOf(idOf(4700))).toBe(300);
  });

  it('gives up what is on its way when the reader is elsewhere', async () => {
    const service = Service.with(5000);
    const pages = pagesOf(service);
    await scrollTo(pages, 2000);
    let release: () => void = () => undefined;
    service.hold = new Promise((resolve) => (release = resolve));
    pages.want(0, 50);
    const signal = service.signals.at(-1);
    pages.want(1900, 1950);
    expect(signal?.aborted).toBe(true);
    release();
    await settled(pages);
    expect(pages.error).toBeNull();
  });

  it('says what failed, and asks no more until told to', async () => {
    const service = Service.with(500);
    const pages = pagesOf(service);
    service.broken = true;
    pages.want(0, 50);
    await settled(pages);
    pages.want(0, 50);
    expect(service.asked.length).toBe(1);
    expect(String(pages.error)).toContain('no answer');
    service.broken = false;
    pages.retry();
    pages.want(0, 50);
    await settled(pages);
    expect(pages.total).toBe(100);
  });
});

describe('a change', () => {
  it('is placed where it belongs, once', async () => {
    const pages = pagesOf(Service.with(300));
    await scrollTo(pages, 50);
    pages.apply(build(301));
    pages.apply(build(301));
    expect(pages.rows(0, 2).map((row) => row?.id)).toEqual([idOf(301), idOf(300)]);
    const late = { id: 'late', queued: `${idOf(290)}5`, ended: true };
    pages.apply(late);
    expect(pages.indexOf('late')).toBe(pages.indexOf(idOf(290)) - 1);
  });

  it('that does not belong is left out, or taken out', async () => {
    const pages = pagesOf(Service.with(300));
    await scrollTo(pages, 50);
    const before = pages.total;
    pages.apply(build(301, false));
    expect(pages.total).toBe(before);
    pages.apply(build(299, false));
    expect(pages.total).toBe(before - 1);
    expect(pages.indexOf(idOf(299))).toBe(-1);
  });

  it('while a page is on its way is newer than the page', async () => {
    const service = Service.with(300);
    const pages = pagesOf(service);
    let release: () => void = () => undefined;
    service.hold = new Promise((resolve) => (release = resolve));
    pages.want(0, 50);
    pages.apply(build(300, false));
    release();
    await settled(pages);
    expect(pages.rows(0, 1)[0]?.id).toBe(idOf(299));
  });

  it('of a page that is not here comes with it', async () => {
    const service = Service.with(3000);
    const pages = pagesOf(service);
    await scrollTo(pages, 2000);
    const at = service.builds.findIndex(({ id }) => id === idOf(2990));
    const late = { id: 'late', queued: `${idOf(2990)}5`, ended: true };
    service.builds = service.builds.toSpliced(at, 0, late);
    const before = pages.total;
    pages.apply(late);
    expect(pages.total).toBe(before);
    pages.want(0, 50);
    await settled(pages);
    expect(pages.total).toBe(before + 1);
    expect(pages.indexOf('late')).toBe(10);
    // No row is twice, and none is missing.
    const ids = pages.rows(0, 200).map((row) => row?.id);
    expect(new Set(ids).size).toBe(200);
  });
});

describe('coming back', () => {
  it('finds the same place by what was kept, asking only for what is on screen', async () => {
    const service = Service.with(5000);
    const pages = pagesOf(service);
    await scrollTo(pages, 3000);
    const marks = JSON.parse(JSON.stringify(pages.marks())) as ReturnType<typeof pages.marks>;
    const again = pagesOf(service, marks);
    expect(again.total).toBe(pages.total);
    service.asked.length = 0;
    again.want(2500, 2550);
    await settled(again);
    expect(again.rows(2500, 2501)[0]?.id).toBe(idOf(2500));
    expect(service.asked.length).toBeLessThanOrEqual(3);
  });

  it('goes on after the last page, also when that one was on its way', async () => {
    const service = Service.with(1000);
    const pages = pagesOf(service);
    await scrollTo(pages, 100);
    const { total } = pages;
    service.hold = new Promise(() => undefined);
    pages.want(total - 10, total);
    const again = pagesOf(service, pages.marks());
    expect([again.total, again.complete]).toEqual([total, false]);
    service.hold = Promise.resolve();
    for (let turn = 0; turn < 2; turn++) {
      again.want(total - 10, total);
      await settled(again);
    }
    expect(again.total).toBe(total + 100);
  });

  it('after hundreds of new builds cuts them into pages', async () => {
    const service = Service.with(5000);
    const pages = pagesOf(service);
    await scrollTo(pages, 2000);
    const marks = pages.marks();
    service.builds = [...Array.from({ length: 450 }, (_, at) => build(5450 - at)), ...service.builds];
    const again = pagesOf(service, marks);
    again.want(0, 50);
    await settled(again);
    expect(again.total).toBe(pages.total + 450);
    expect(again.marks().pages.every(({ count }) => count <= SIZE)).toBe(true);
    expect(again.indexOf(idOf(5000))).toBe(450);
  });

  it('to a page whose cursor is no longer kept finds it by the page before', async () => {
    const service = Service.with(2000);
    const pages = pagesOf(service);
    await scrollTo(pages, 1500);
    const marks = pages.marks();
    const cursor = marks.pages[5]?.before;
    service.builds = service.builds.filter(({ id }) => id !== cursor);
    const again = pagesOf(service, marks);
    again.want(510, 520);
    await settled(again);
    again.want(510, 520);
    await settled(again);
    expect(again.total).toBe(pages.total - 1);
    expect(again.rows(510, 511)[0]?.id).toBe(idOf(1489));
  });

  it('refreshes what is on screen, and shows it until then', async () => {
    const service = Service.with(300);
    const pages = pagesOf(service);
    await scrollTo(pages, 50);
    service.builds = [build(301), ...service.builds];
    pages.refresh();
    expect(pages.rows(0, 1)[0]?.id).toBe(idOf(300));
    pages.want(0, 50);
    await settled(pages);
    expect(pages.rows(0, 1)[0]?.id).toBe(idOf(301));
  });
});
