import { describe, expect, it } from 'vitest';
import type { ConfigurationFile } from '../api/types';
import { lookOfFile } from './file';
import { findingsByFile, markOf, placeOf } from './finding';

describe('a finding', () => {
  it('is marked in its line, by characters', () => {
    expect(markOf({ text: 'build.sh: {artefact: x}', start: 11, width: 8 })).toEqual({
      before: 'build.sh: {',
      marked: 'artefact',
      after: ': x}',
    });
    expect(markOf({ text: '🛠️🛠️: no', start: 6, width: 2 }).marked).toBe('no');
  });

  it('marks the place also where there is no text', () => {
    expect(markOf({ text: 'key:', start: 4, width: 0 })).toEqual({ before: 'key:', marked: ' ', after: '' });
  });

  it('says where it is', () => {
    expect(placeOf({ file: 'a/b/main.yaml', line: 2, column: 12 })).toBe('a/b/main.yaml:2:12');
    expect(placeOf({ file: 'a/b/main.yaml', line: 0, column: 0 })).toBe('a/b/main.yaml');
  });

  it('stands with the others of its file', () => {
    const finding = (file: string, line: number) =>
      ({ severity: 'error', file, line, column: 1, key: '', message: '' }) as const;
    const findings = findingsByFile([finding('a', 1), finding('b', 2), finding('a', 3)]);
    expect(findings.get('a')?.map(({ line }) => line)).toEqual([1, 3]);
    expect([...findings.keys()]).toEqual(['a', 'b']);
  });
});

it.each([
  ['unchanged', true, '✓ in force', null],
  ['tracked', true, '✓ in force', 'new or changed by this load'],
  ['broken', true, '✗ broken', 'its last good version stays in force'],
  ['broken', false, '✗ broken', 'nothing of it is in force'],
  ['removed', false, '⊘ removed', 'its branch is no longer built'],
  ['moved', true, '? moved', 'in force'],
])('a file that is %s, in force: %s', (state, in_force, shown, note) => {
  const look = lookOfFile({ path: 'a/b/main.yaml', state, in_force } as ConfigurationFile);
  expect([`${look.sign} ${look.word}`, look.note]).toEqual([shown, note]);
});
