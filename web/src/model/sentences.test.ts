import { expect, it } from 'vitest';
import { capital, inWords, sentence, wordsOf } from './sentences';

it('composes what failed and what to try into two sentences', () => {
  expect(inWords({ what: 'there is no build x', hint: 'it may have been removed.' })).toBe(
    'there is no build x. It may have been removed.',
  );
  expect(inWords({ what: 'It ended.', hint: '' })).toBe('It ended. ');
  expect(sentence('it ended')).toBe('it ended.');
  expect(capital('`api_token` is missing')).toBe('`api_token` is missing');
});

it('shows what stands between backticks as code', () => {
  expect(wordsOf('see `artifact` or `image`')).toEqual([
    { text: 'see ', code: false },
    { text: 'artifact', code: true },
    { text: ' or ', code: false },
    { text: 'image', code: true },
  ]);
  expect(wordsOf('one ` alone')).toEqual([{ text: 'one ` alone', code: false }]);
});
