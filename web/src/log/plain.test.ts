import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { brokenSequenceAt, parseLine } from './ansi';
import { plainText, withoutSequences } from './plain';

/** Lines as they come and as the service searches them: its own tests read them too. */
const table = new URL('../../../src/log/tests/escapes.json', import.meta.url);
const lines = JSON.parse(readFileSync(table, 'utf8')) as [string, string][];

describe.each(lines)('%j', (raw, plain) => {
  it('has its text, each character of it where it came from', () => {
    const { text, sourceOf } = plainText(raw);
    expect(text).toBe(plain);
    expect(withoutSequences(raw)).toBe(plain);
    const places = Array.from(text, (_, at) => sourceOf(at));
    expect(places.map((at) => raw[at]).join('')).toBe(text);
    expect(places.every((at, index) => index === 0 || at > (places[index - 1] ?? 0))).toBe(true);
  });

  it('shows as much', () => {
    expect(parseLine(raw).text).toBe(parseLine(plain).text);
  });

  it('is the same wherever it is torn at a sequence', () => {
    for (let end = 0; end <= raw.length; end++) {
      const broken = brokenSequenceAt(raw.slice(0, end));
      const parts = withoutSequences(raw.slice(0, broken)) + withoutSequences(raw.slice(broken));
      expect(parts).toBe(plain);
    }
  });
});
