import { describe, expect, it } from 'vitest';
import { PLAIN } from './sgr';
import { Lines, LineSplitter, MAX_LINE_LENGTH, shorten } from './lines';

const encode = (text: string) => new TextEncoder().encode(text);

/** The lines that come of bytes given in pieces of `size`. */
function split(bytes: Uint8Array, size: number): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((text) => lines.push(text));
  for (let at = 0; at < bytes.length; at += size) splitter.write(bytes.slice(at, at + size));
  splitter.finish();
  return lines;
}

describe('splitting', () => {
  const text = 'plain\n\x1b[38;5;208morange\x1b[0m\r\n漢字 🛠️ é\n\nlast without end';
  const whole = ['plain', '\x1b[38;5;208morange\x1b[0m\r', '漢字 🛠️ é', '', 'last without end'];

  it.each([1, 2, 3, 5, 7, 64])('gives the same lines from frames of %i bytes', (size) => {
    expect(split(encode(text), size)).toEqual(whole);
  });

  it.each([1, 2, 100])('shows invalid bytes as replacement characters, frames of %i bytes', (size) => {
    const bytes = Uint8Array.from([0x61, 0xff, 0x62, 0x0a, 0xc3, 0x28, 0x0a, 0xe6, 0xbc]);
    expect(split(bytes, size)).toEqual(['a\ufffdb', '\ufffd(', '\ufffd']);
  });

  it('shows the line that is being written', () => {
    const splitter = new LineSplitter(() => undefined);
    splitter.write(encode('done\n50 %'));
    expect(splitter.rest.text).toBe('50 %');
    splitter.write(encode('\r60 %'));
    expect(splitter.rest.text).toBe('50 %\r60 %');
  });

  it('does not grow with a line that never ends', () => {
    const splitter = new LineSplitter(() => undefined);
    for (let at = 0; at < 100; at++) splitter.write(encode('x'.repeat(10_000)));
    expect(splitter.rest.text.length).toBeLessThanOrEqual(MAX_LINE_LENGTH);
    expect(splitter.rest.cut).toBe(true);
  });

  it('keeps the last state of a progress bar that redraws itself for hours', () => {
    const splitter = new LineSplitter(() => undefined);
    for (let at = 0; at < 20_000; at++) splitter.write(encode(`\rstep ${at} of 20000`));
    expect(splitter.rest.text.length).toBeLessThanOrEqual(MAX_LINE_LENGTH);
    expect(splitter.rest.text.endsWith('\rstep 19999 of 20000')).toBe(true);
  });
});

describe('shortening', () => {
  it('keeps the beginning', () => {
    expect(shorten('a'.repeat(MAX_LINE_LENGTH) + 'b')).toBe('a'.repeat(MAX_LINE_LENGTH));
  });

  it('keeps what is drawn last, also before a line end of \\r\\n', () => {
    expect(shorten(`${'a'.repeat(MAX_LINE_LENGTH)}\rlast\r`)).toBe('\rlast\r');
  });
});

describe('lines', () => {
  it('know the style at their start', () => {
    const lines = new Lines();
    lines.push('\x1b[31mred');
    lines.push('still red\x1b[0m');
    lines.push('plain');
    expect(lines.at(1)?.style.fg).toBe(1);
    expect(lines.at(2)?.style).toBe(PLAIN);
  });

  it('forget from the front', () => {
    const lines = new Lines();
    lines.push('one');
    lines.push('two', true);
    lines.push('three');
    lines.dropFirst(1);
    expect(lines.length).toBe(2);
    expect(lines.size).toBe(8);
    expect(lines.at(0)).toMatchObject({ text: 'two', cut: true });
    expect(lines.at(1)).toMatchObject({ text: 'three', cut: false });
    expect(lines.at(2)).toBeNull();
  });
});
