import type { ConfigurationFile } from '../api/types';
import type { StateLook } from '../model/states';

/** How a file of the configuration stands: sign, word and colour, and what has to be said beside it. */
export function lookOfFile(file: ConfigurationFile): StateLook & { note: string | null } {
  switch (file.state) {
    case 'tracked':
      return { sign: '✓', word: 'in force', tone: 'good', note: 'new or changed by this load' };
    case 'unchanged':
      return { sign: '✓', word: 'in force', tone: 'good', note: null };
    case 'broken':
      return {
        sign: '✗',
        word: 'broken',
        tone: 'bad',
        note: file.in_force ? 'its last good version stays in force' : 'nothing of it is in force',
      };
    case 'removed':
      return { sign: '⊘', word: 'removed', tone: 'quiet', note: 'its branch is no longer built' };
    default:
      // A service newer than this page may know more states.
      return { sign: '?', word: file.state, tone: 'quiet', note: file.in_force ? 'in force' : null };
  }
}
