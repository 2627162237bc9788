/** What was measured, as the tables of docs/performance.md have it. */

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
