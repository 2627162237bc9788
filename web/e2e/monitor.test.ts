/** Stories of the monitor: the real page in Chromium, the real service with real Docker and git. */
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';
import { closeStage, openStage, stage } from './stage/current';
import { axeStories } from './stories/axe';
import { buildStories } from './stories/build';
import { configurationStories, repositoryStories } from './stories/configuration';
import { everyoneStories } from './stories/everyone';
import { liveStories } from './stories/live';
import { logStories } from './stories/log';
import { logSearchStories } from './stories/logsearch';
import { logTextStories } from './stories/logtext';
import { longLineStories } from './stories/longlines';
import { longLogStories, longPastStories } from './stories/longpast';
import { outsideStories } from './stories/outside';
import { overviewStories } from './stories/overview';
import { signInStories } from './stories/signin';

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
describe('a log', logStories);
describe('the search in a log', logSearchStories);
describe('the text of a log', logTextStories);
describe('long lines', longLineStories);
describe('what comes from outside', outsideStories);
describe('everyone', everyoneStories);
describe('the repositories', repositoryStories);
describe('the configuration', configurationStories);
describe('signing in', signInStories);
// Those that need the long past come last, so that its import costs little time.
describe('a history of 100,000 builds', longPastStories);
describe('a log of ten million lines', longLogStories);
describe('each page', axeStories);
