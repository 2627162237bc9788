// Logs for the fake service: generated on demand (so that ten million lines need no memory), growing, and one
// that shows every difficulty.

const WIDTH = 100;

/** Every line has the same length in bytes, so that any of them is found by multiplication. */
function generatedLine(number) {
  const name = `src/module_${number % 997}/part_${number % 31}.c`;
  const step = `[${String(number % 100).padStart(2)}%] `;
  const text =
    number % 50 === 0
      ? `\x1b[1;33mwarning:\x1b[0m ${name}:${number % 400}: unused variable 'index'`
      : `\x1b[32m${step}\x1b[0mgcc -O2 -Wall -c ${name} -o build/part_${number}.o`;
  return `${text.slice(0, WIDTH - 1).padEnd(WIDTH - 1)}\n`;
}

export class GeneratedLog {
  constructor(lines) {
    this.lines = lines;
    this.bytes = lines * WIDTH;
  }

  offsetOf(line) {
    return Math.min(this.bytes, (line - 1) * WIDTH);
  }

  lineAt(offset) {
    return Math.floor(offset / WIDTH) + 1;
  }

  slice(offset, limit) {
    const first = this.lineAt(offset);
    const { bytes } = this.read(first, Math.ceil(limit / WIDTH), limit);
    return bytes.subarray(offset - this.offsetOf(first));
  }

  read(first, lines, limit) {
    const last = Math.min(this.lines, first + Math.min(lines, Math.floor(limit / WIDTH)) - 1);
    let text = '';
    for (let line = first; line <= last; line++) text += generatedLine(line);
    return { bytes: Buffer.from(text), next: last < this.lines ? last + 1 : null };
  }
}

/** Bytes in memory with the offset of each line. */
class StoredLog {
  constructor() {
    this.chunks = [];
    this.starts = [0];
    this.bytes = 0;
  }

  /** The line that is being written counts. */
  get lines() {
    return this.starts.at(-1) === this.bytes ? this.starts.length - 1 : this.starts.length;
  }

  write(bytes) {
    for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1))
      this.starts.push(this.bytes + at + 1);
    this.chunks.push({ offset: this.bytes, bytes });
    this.bytes += bytes.length;
  }

  offsetOf(line) {
    return this.starts[line - 1] ?? this.bytes;
  }

  lineAt(offset) {
    let line = this.starts.findIndex((start) => start > offset);
    if (line === -1) line = this.starts.length;
    return line;
  }

  slice(offset, limit) {
    let low = 0;
    let high = this.chunks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.chunks[middle].offset + this.chunks[middle].bytes.length <= offset) low = middle + 1;
      else high = middle;
    }
    const parts = [];
    let length = 0;
    for (let at = low; at < this.chunks.length && length < limit; at++) {
      const { offset: start, bytes } = this.chunks[at];
      const part = bytes.subarray(Math.max(0, offset - start));
      parts.push(part);
      length += part.length;
    }
    return Buffer.concat(parts).subarray(0, limit);
  }

  /** Stops after the last line that fits; one that does not fit by itself is cut, and the next one follows. */
  read(first, lines, limit) {
    const from = this.offsetOf(first);
    const to = this.offsetOf(first + lines);
    let next = first + lines;
    let bytes = this.slice(from, Math.min(limit, to - from));
    if (bytes.length < to - from) {
      next = this.lineAt(from + bytes.length);
      if (next === first) next += 1;
      else bytes = bytes.subarray(0, this.offsetOf(next) - from);
    }
    return { bytes, next: next <= this.lines ? next : null };
  }
}

export class GrowingLog extends StoredLog {
  grow(lines) {
    let text = '';
    for (let at = 0; at < lines; at++) text += generatedLine(this.lines + at + 1).trimEnd() + '\n';
    this.write(Buffer.from(text));
  }
}

export function showcase() {
  const log = new StoredLog();
  const line = (text) => log.write(Buffer.from(`${text}\n`));
  const esc = '\x1b[';
  line('autobuilder: pulling debian:12');
  line('autobuilder: building');
  for (const base of [30, 90]) {
    line(Array.from({ length: 8 }, (_, at) => `${esc}${base + at}mcolour ${base + at}${esc}0m`).join(' '));
    line(
      Array.from({ length: 8 }, (_, at) => `${esc}${base + 10 + at}m ground ${base + at} ${esc}0m`).join(' '),
    );
  }
  line(Array.from({ length: 36 }, (_, at) => `${esc}38;5;${16 + at * 6}m▇▇${esc}0m`).join(''));
  line(Array.from({ length: 40 }, (_, at) => `${esc}48;2;${at * 6};80;${255 - at * 6}m ${esc}0m`).join(''));
  line(
    `${esc}1mbold${esc}0m ${esc}2mdim${esc}0m ${esc}3mitalic${esc}0m ${esc}4munderline${esc}0m ${esc}7minverse${esc}0m ${esc}9mstruck${esc}0m`,
  );
  line(`a colour that ${esc}31mgoes on`);
  line(`over the end of its line${esc}0m and stops`);
  line(
    Array.from(
      { length: 21 },
      (_, at) => `\rdownloading ${'#'.repeat(at)}${'.'.repeat(20 - at)} ${at * 5} %`,
    ).join(''),
  );
  line(`erased${esc}2K\rwritten over ${esc}1Gwritten OVER`);
  line(
    `left alone: ${esc}?25l${esc}>4;2m\x1b]0;title\x07no title, \x1b]8;;https://example.org\x1b\\a link's text\x1b]8;;\x1b\\`,
  );
  log.write(
    Buffer.concat([
      Buffer.from('not UTF-8: '),
      Buffer.from([0xff, 0xfe, 0xc3, 0x28]),
      Buffer.from(' and on; NUL: \0 BEL: \x07 end\n'),
    ]),
  );
  line('<script>alert("text is never HTML")</script> <img src=x onerror=alert(1)>');
  line('a\tb\tc, 漢字, עברית, 🛠️, e\u0301');
  line(`one line of 2 MB: ${'0123456789'.repeat(200_000)}`);
  line('x'.repeat(400));
  line('Error: something went wrong');
  for (let at = 1; at <= 220; at++) log.write(Buffer.from(generatedLine(at)));
  log.write(Buffer.from('the last line has no end'));
  return log;
}
