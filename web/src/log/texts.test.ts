import { expect, it, vi } from 'vitest';
import { parseLine } from './ansi';
import type { LogLine } from './lines';
import { PLAIN } from './sgr';
import { MAX_LINES, MAX_TEXTS, Texts, type Text } from './texts';

vi.mock('./ansi', async (importOriginal) => {
  const ansi = await importOriginal<typeof import('./ansi')>();
  return { ...ansi, parseLine: vi.fn(ansi.parseLine) };
});

const numbers = (to: number) => Array.from({ length: to }, (_, at) => at + 1);
const raw = (text: string): LogLine => ({ text, style: PLAIN, cut: false });

it('keeps so much of the lines that were looked at, and the newest of them', () => {
  const long = raw('x'.repeat(60_000));
  const texts = new Texts(() => long);
  const made = numbers(300).map((line) => texts.at(line));
  const isKept = (text: Text | null, at: number) => texts.at(at + 1) === text;
  const dropped = made.findLastIndex((text, at) => !isKept(text, at));
  const kept = 300 - 1 - dropped;
  expect(kept * long.text.length).toBeLessThanOrEqual(MAX_TEXTS);
  expect((kept + 2) * long.text.length).toBeGreaterThan(MAX_TEXTS);
});

it('keeps so many short lines, and the newest of them', () => {
  const texts = new Texts((line) => raw(`line ${line}`));
  const made = numbers(MAX_LINES + 10).map((line) => texts.at(line));
  made.slice(10).forEach((text, at) => expect(texts.at(at + 11)).toBe(text));
  expect(texts.at(10)).not.toBe(made[9]);
});

it('makes a line anew when it has changed', () => {
  let line = raw('one');
  const texts = new Texts(() => line);
  const before = texts.at(1);
  line = raw('one');
  expect(texts.at(1)).toBe(before);
  line = raw('one more');
  expect(texts.at(1)?.text.shown.text).toBe('one more');
  line = { ...line, style: { ...PLAIN, bold: true } };
  expect(texts.at(1)?.text.shown.style.bold).toBe(true);
});

it('knows how high lines are that are too many to be kept, without making them again', () => {
  let lines = numbers(500).map((line) => raw('x'.repeat(40_000 + 100 * line)));
  const texts = new Texts((line) => lines[line - 1] ?? null);
  const heights = (columns: number) => numbers(501).map((line) => texts.rowsOf(line, columns));
  const high = numbers(500).map((line) => 400 + line);
  expect(heights(100)).toEqual([...high, 1]);
  vi.mocked(parseLine).mockClear();
  expect(heights(100)).toEqual([...high, 1]);
  expect(parseLine).not.toHaveBeenCalled();
  expect(heights(200).slice(0, 2)).toEqual([201, 201]);
  lines = lines.with(0, raw('x'.repeat(100)));
  expect(texts.rowsOf(1, 200)).toBe(1);
});
