/** A build whose log has every difficulty. */
import { once, stage } from '../stage/current';

/** Written in the middle of one line, without a line end of its own. */
const LONG_TEXT = '0123456789'.repeat(200_000);
const ESC = '\x1b[';

function output(): Buffer {
  const line = (text: string) => Buffer.from(`${text}\n`);
  const colours = [30, 90].flatMap((base) =>
    [base, base + 10].map((from) =>
      line(Array.from({ length: 8 }, (_, at) => `${ESC}${from + at}m colour ${from + at} ${ESC}0m`).join('')),
    ),
  );
  const progress = Array.from(
    { length: 21 },
    (_, at) => `\rdownloading ${'#'.repeat(at)}${'.'.repeat(20 - at)} ${at * 5} %`,
  );
  return Buffer.concat([
    ...colours,
    line(Array.from({ length: 36 }, (_, at) => `${ESC}38;5;${16 + at * 6}m▇▇${ESC}0m`).join('')),
    line(Array.from({ length: 40 }, (_, at) => `${ESC}48;2;${at * 6};80;${255 - at * 6}m ${ESC}0m`).join('')),
    line(
      `${ESC}1mbold${ESC}0m ${ESC}2mdim${ESC}0m ${ESC}3mitalic${ESC}0m ${ESC}4munderlined${ESC}0m ${ESC}7minverse${ESC}0m ${ESC}9mstruck${ESC}0m`,
    ),
    line(`${ESC}38;2;20;140;60mtrue colour${ESC}0m ${ESC}38;5;196mone of 256${ESC}0m`),
    line(`a colour that ${ESC}31mgoes on`),
    line(`over the end of its line${ESC}0m and stops`),
    line(progress.join('')),
    line(`erased${ESC}2K\rwritten over ${ESC}1Gwritten OVER`),
    line(
      `left alone: ${ESC}?25l${ESC}>4;2m\x1b]0;title\x07no title, \x1b]8;;https://example.org\x1b\\a link's text\x1b]8;;\x1b\\`,
    ),
    Buffer.from('not UTF-8: '),
    Buffer.from([0xff, 0xfe, 0xc3, 0x28]),
    line(' and on; NUL: \0 BEL: \x07 end'),
    line('<script>alert("text is never HTML")</script> <img src=x onerror=alert(1)>'),
    line('a\tb\tc, 漢字, עברית, 🛠️, e\u0301'),
    line(`one line of 2 MB: ${LONG_TEXT}`),
    line('x'.repeat(400)),
    ...Array.from({ length: 200 }, (_, at) => line(`cc -O2 -c part_${at}.c`)),
    line('main.c:41:7: error: something went wrong'),
    line('make: *** [Makefile:3: all] Error 2'),
    Buffer.from('the last line has no end'),
  ]);
}

/** Its id. It has failed. */
export const showcase = once(async () => {
  const id = await stage.service.build(
    'acme/showcase',
    'main',
    { 'build.sh': '#!/bin/sh\ncat output\nexit 2\n', output: output() },
    { message: 'Show everything <b>there is</b>\n\nAnd more below.', author: 'Łukasz' },
  );
  await stage.service.reaches(id, 'failed');
  return id;
});

/** Which line of its log begins with a text. */
export async function lineOf(id: string, text: string): Promise<number> {
  const lines = (await stage.service.logOf(id)).split('\n');
  const at = lines.findIndex((line) => line.includes(text));
  if (at === -1) throw new Error(`the log of ${id} has no line with ${text}`);
  return at + 1;
}
