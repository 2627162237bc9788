/** A log that is no longer kept: retention removes logs before the builds that wrote them. */
import { RequestFailed } from '../api/http';
import type { Build } from '../api/types';
import { hasEnded } from '../model/states';

type Known = Pick<Build, 'state' | 'started' | 'log'>;

const NOT_FOUND = 404;

/** As the service says it while it still knows how long the log was. */
const NO_LONGER_KEPT = new RequestFailed(
  'the log of this build is no longer kept',
  'logs are kept for a time, which `retention.logs` of the service file sets',
  NOT_FOUND,
);

/** Why there is no log any more: what the build tells, or one of the answers to what was asked of its log. */
export function goneFor(build: Known, failures: readonly (RequestFailed | null)[]): RequestFailed | null {
  if (!hasEnded(build)) return null;
  // Whatever was started wrote at least how it ended.
  if (build.started !== null && build.log.bytes === 0) return NO_LONGER_KEPT;
  return failures.find((failure) => failure?.status === NOT_FOUND) ?? null;
}
