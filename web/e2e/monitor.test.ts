/** Stories of the monitor: the real page in Chromium, the real service with real Docker and git. */
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';
import { closeStage, openStage, stage } from './stage/current';
import { axeStories } from './stories/axe';
import { buildStories } from './stories/build';
import { liveStories } from './stories/live';
import { longLogStories } from './stories/longlog';
import { outsideStories } from './stories/outside';
import { overviewStories } from './stories/overview';

beforeAll(openStage);
afterAll(async () => expect(await closeStage(), 'what the services complained of').toEqual([]));

afterEach(async () => {
  const problems = await stage.clear();
  await stage.service.quiet();
  expect(problems, 'what the browser complained of').toEqual([]);
});

describe('the overview', overviewStories);
describe('a build', buildStories);
describe('a live log', liveStories);
describe('what comes from outside', outsideStories);
describe('a log of ten million lines', longLogStories);
describe('everyone', axeStories);
