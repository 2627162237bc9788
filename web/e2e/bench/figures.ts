/** What was measured, as the tables of docs/performance.md have it, and whether it is as it is meant to be. */

/** The value below which this share of the others lies. */
export function quantile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}

export const median = (values: number[]) => quantile(values, 0.5);

export const fixed = (value: number, digits = 0) => (Number.isNaN(value) ? '–' : value.toFixed(digits));

export const MIB = 1024 * 1024;

export function table(title: string, head: string[], rows: string[][]): void {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  const dashes = line(head.map(() => '---'));
  console.log(`\n### ${title}\n\n${[line(head), dashes, ...rows.map(line)].join('\n')}`);
}

/** What figures are meant to be at most. */
export const AIMS = {
  jump: { most: 200, unit: 'ms' },
  frame: { most: 16.7, unit: 'ms' },
  memory: { most: 200, unit: 'MiB' },
  search: { most: 2000, unit: 'ms' },
  arrival: { most: 1, unit: 'frames' },
};

/** `SLACK=1.5` lets each be half as much more than its aim, on a machine that does other work. */
const SLACK = Number(process.env['SLACK'] ?? 1.1);

const missed: string[] = [];

/** Notes a figure that is beyond its aim, also one that is none. */
export function hold(what: string, measured: number, aim: keyof typeof AIMS): void {
  const { most, unit } = AIMS[aim];
  if (measured <= most * SLACK) return;
  missed.push(`${what}: ${fixed(measured, 1)} ${unit}, and meant to be ${most} ${unit} at most`);
}

/** Tells which aims were missed, and has the program fail if any was. */
export function judge(): void {
  console.log(`\n### Aims, times ${SLACK}\n`);
  for (const one of missed.length > 0 ? missed : ['All are reached.']) console.log(`- ${one}`);
  if (missed.length > 0) process.exitCode = 1;
}
