import { expect, it } from 'vitest';
import { plainText } from './plain';

it.each([
  ['plain', 'plain'],
  ['[ 2%]\x1b[0m gcc', '[ 2%] gcc'],
  ['\x1b[1;31merror\x1b[m: x\x1b[K', 'error: x'],
  ['\x1b]8;;https://x\x1b\\link\x1b]8;;\x07!', 'link!'],
  ['\x1b]0;title\x07a\x1b(Bb\x1b=c\x1bMd', 'abcd'],
  // Broken ones: what cannot stand in a sequence is no part of it.
  ['a\x1b\x1b[1mb\x1b', 'ab'],
  ['a\x1bé\x1b(é\x1b[1\rb', 'aéé\rb'],
  ['a\x1b[31', 'a'],
])('%j is %j, each character of it where it came from', (raw, plain) => {
  const { text, sourceOf } = plainText(raw);
  expect(text).toBe(plain);
  const places = Array.from(text, (_, at) => sourceOf(at));
  expect(places.map((at) => raw[at]).join('')).toBe(text);
  expect(places.every((at, index) => index === 0 || at > (places[index - 1] ?? 0))).toBe(true);
});
