import { describe, expect, it } from 'vitest';
import { brokenSequenceAt, MAX_COLUMNS, parseLine, styleAfter } from './ansi';
import { PLAIN, type Style } from './sgr';

const ESC = '\x1b[';

function shown(text: string, start?: Style): string {
  return parseLine(text, start)
    .spans.map((span) => span.text)
    .join('');
}

/** The spans with only what differs from plain text. */
function coloured(text: string) {
  return parseLine(text).spans.map((span) => {
    const marks = Object.entries(span.style).filter(([, value]) => value !== null && value !== false);
    return [span.text, Object.fromEntries(marks)];
  });
}

describe('colours', () => {
  it('knows the sixteen', () => {
    expect(coloured(`${ESC}31mred${ESC}0m plain ${ESC}97;44mwhite on blue`)).toEqual([
      ['red', { fg: 1 }],
      [' plain ', {}],
      ['white on blue', { fg: 15, bg: 4 }],
    ]);
  });

  it('knows the 256', () => {
    expect(coloured(`${ESC}38;5;9ma${ESC}38;5;16mb${ESC}38;5;231mc${ESC}48;5;244md`)).toEqual([
      ['a', { fg: 9 }],
      ['b', { fg: '#000000' }],
      ['c', { fg: '#ffffff' }],
      ['d', { fg: '#ffffff', bg: '#808080' }],
    ]);
  });

  it('knows true colour, with semicolons and with colons', () => {
    const orange = [['x', { fg: '#ff8000' }]];
    expect(coloured(`${ESC}38;2;255;128;0mx`)).toEqual(orange);
    expect(coloured(`${ESC}38:2:255:128:0mx`)).toEqual(orange);
    expect(coloured(`${ESC}38:2::255:128:0mx`)).toEqual(orange);
  });

  it('goes on with the attributes after a colour', () => {
    expect(coloured(`${ESC}38;5;1;1;4mx`)).toEqual([['x', { fg: 1, bold: true, underline: true }]]);
  });

  it('takes what colons bind together as one', () => {
    expect(coloured(`${ESC}1;4:3mx${ESC}4:0my`)).toEqual([
      ['x', { bold: true, underline: true }],
      ['y', { bold: true }],
    ]);
    expect(coloured(`${ESC}38:5:9;3mx`)).toEqual([['x', { fg: 9, italic: true }]]);
    expect(coloured(`${ESC}48:2:1:255:128:0:9:8;9mx`)).toEqual([['x', { bg: '#ff8000', strike: true }]]);
    expect(coloured(`${ESC}58:2::1:2:3;4:4mx${ESC}58;5;1;24my`)).toEqual([
      ['x', { underline: true }],
      ['y', {}],
    ]);
  });

  it('knows concealed text and lines above', () => {
    expect(coloured(`${ESC}8;53mx${ESC}28my${ESC}55mz`)).toEqual([
      ['x', { concealed: true, overline: true }],
      ['y', { overline: true }],
      ['z', {}],
    ]);
  });

  it('keeps colours within their range whatever the numbers', () => {
    expect(coloured(`${ESC}38;2;999;0;99999999999mx`)).toEqual([['x', { fg: '#ff00ff' }]]);
    expect(coloured(`${ESC}38;5;300mx`)).toEqual([['x', {}]]);
  });

  it('ends each attribute by its own code', () => {
    expect(coloured(`${ESC}1;3;4;7;9;31;41ma${ESC}22;23;24;27;29;39;49mb`).at(-1)).toEqual(['b', {}]);
  });

  it('carries over to the next line', () => {
    const first = parseLine(`${ESC}31mbegins here`);
    expect(first.style.fg).toBe(1);
    expect(parseLine('goes on', first.style).spans[0]?.style.fg).toBe(1);
    expect(styleAfter(`${ESC}31mbegins here`, PLAIN)).toEqual(first.style);
  });

  it('returns to the plain style itself, so that equal styles are the same', () => {
    expect(parseLine(`${ESC}31mred${ESC}39m`).style).toBe(PLAIN);
  });
});

describe('what a terminal does within a line', () => {
  it('overwrites after a carriage return', () => {
    expect(shown('10 %\r20 %\r100 %')).toBe('100 %');
    expect(shown('abcdef\rXY')).toBe('XYcdef');
  });

  it('takes a carriage return before the line end for what it is', () => {
    expect(shown('windows\r')).toBe('windows');
  });

  it('erases', () => {
    expect(shown(`long text\r${ESC}Kshort`)).toBe('short');
    expect(shown(`long text${ESC}2K\rx`)).toBe('x');
    expect(shown(`abcd\r${ESC}2C${ESC}1K`)).toBe('   d');
  });

  it('moves the cursor', () => {
    expect(shown(`abc${ESC}2DX`)).toBe('aXc');
    expect(shown(`abc${ESC}6Gf`)).toBe('abc  f');
    expect(shown('ab\b\bXY')).toBe('XY');
    expect(shown(`abcdef\r${ESC}2P`)).toBe('cdef');
  });

  it('keeps the colours of what is not overwritten', () => {
    expect(coloured(`${ESC}32mgreen${ESC}0m\rx`)).toEqual([
      ['x', {}],
      ['reen', { fg: 2 }],
    ]);
  });

  it('counts tabs to the next stop', () => {
    expect(shown('a\tb\r12345678X')).toBe('12345678X');
    expect(shown('a\tb')).toBe('a\tb');
  });
});

describe('what is not shown', () => {
  it('leaves out sequences without a meaning in one line', () => {
    expect(shown(`${ESC}?25l${ESC}2J${ESC}1;1H${ESC}>4;2m${ESC}s text ${ESC}u`)).toBe(' text ');
  });

  it('leaves out titles and keeps the text of hyperlinks', () => {
    expect(shown('\x1b]0;title\x07a \x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\ b')).toBe('a link b');
  });

  it('leaves out other short sequences', () => {
    expect(shown('\x1b(Btext\x1b=\x1b>\x1bM')).toBe('text');
  });

  it('does not swallow text after a sequence that is broken off', () => {
    expect(shown('a\x1b[31\x1b[1mb')).toBe('ab');
    expect(shown('a\x1b[3')).toBe('a');
    expect(shown('a\x1b')).toBe('a');
    expect(shown('a\x1b[\u00e9b')).toBe('aéb');
  });

  it('shows other control characters as pictures, and no bell', () => {
    expect(shown('nul \0 bell \x07 del \x7f')).toBe('nul \u2400 bell  del \u2421');
  });
});

describe('what takes more than one column, or none', () => {
  it('keeps tabs also beside colours', () => {
    expect(shown(`${ESC}31ma\tb${ESC}0m\tc`)).toBe('a\tb\tc');
  });

  it('leaves blanks of a tab that is written into', () => {
    expect(shown('a\tb\r\x1b[3Cx')).toBe('a  x    b');
  });

  it('overwrites both halves of a wide character', () => {
    expect(shown('漢字\r\x1b[1Cx')).toBe(' x字');
    expect(shown('漢字\rab')).toBe('ab字');
    expect(shown('漢字\ra')).toBe('a 字');
  });

  it('leaves accents with their letters', () => {
    expect(shown('\x1b[32me\u0301x\x1b[2Dy')).toBe('yx');
    expect(shown('\re\u0301')).toBe('e\u0301');
  });

  it('knows where each character came from', () => {
    const { text, sources } = parseLine(`${ESC}31mab${ESC}0mc`);
    expect(text).toBe('abc');
    expect(sources).toEqual(Int32Array.of(5, 6, 11));
    expect(parseLine('plain').sources).toBeNull();
  });
});

it('cannot be made long by a number', () => {
  expect(shown(`a${ESC}999999999Cb`).length).toBeLessThanOrEqual(MAX_COLUMNS + 1);
  expect(shown(`${ESC}999999999Gb`).length).toBeLessThanOrEqual(MAX_COLUMNS + 1);
});

it('moves back to any place of a line, however long that is', () => {
  const long = 'x'.repeat(2 * MAX_COLUMNS);
  expect(shown(`${long}\r${ESC}${MAX_COLUMNS + 10}Gyz`).indexOf('yz')).toBe(MAX_COLUMNS + 9);
});

describe('a line of which each sequence asks for many cells', () => {
  it.each([
    ['erasing to the cursor', 'x'.repeat(MAX_COLUMNS), `${ESC}1K`],
    ['erasing some', `${'x'.repeat(MAX_COLUMNS)}\r`, `${ESC}9999X`],
    ['deleting one', `${'x'.repeat(MAX_COLUMNS)}\r`, `${ESC}P`],
    ['writing far out', '', `${ESC}9999Gx\r${ESC}K`],
  ])('is drawn as far as that is little work, and keeps its colours: %s', (_, begin, sequence) => {
    const end = `\r${ESC}2K${ESC}31mend`;
    expect(coloured(begin + sequence.repeat(10) + end)).toEqual([['end', { fg: 1 }]]);
    const much = coloured(begin + sequence.repeat(1_000) + end);
    expect(much[0]).toEqual(['end', { fg: 1 }]);
    expect(much).toHaveLength(2);
  });
});

it.each([
  ['text', 4],
  ['text\x1b', 4],
  ['text\x1b[38;5', 4],
  ['text\x1b]0;title', 4],
  ['\x1b[1mtext', 8],
  ['\x1b]0;title\x07text', 14],
])('finds the sequence that the end of %j cuts off', (text, at) => {
  expect(brokenSequenceAt(text)).toBe(at);
});

it('joins characters beyond the basic plane', () => {
  expect(shown('\ra🛠b')).toBe('a🛠b');
});
