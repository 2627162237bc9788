/** Where on the strip beside the log something is: rectangles as the path of one SVG element. */
import type { Marks } from '../api/log';
import type { Layout } from './layout';

/** Pixels; a mark is seen and can be hit. */
const THICK = 2;

/** Rectangles from `left`, `width` wide, for all buckets with matches; marks on the same pixels are one. */
export function pathOf(marks: Marks, layout: Layout, height: number, left: number, width: number): string {
  const rows = new Set<number>();
  marks.counts.forEach((count, bucket) => {
    if (count > 0) rows.add(pixelOf(bucket * marks.bucket_lines + 1, layout, height));
  });
  let path = '';
  for (const at of rows) path += `M${left} ${at}h${width}v${THICK}h-${width}z`;
  return path;
}

/** The pixel of a line: as far down the strip as its row is in the log. */
export function pixelOf(line: number, layout: Layout, height: number): number {
  const share = (layout.rowOf(line) - 1) / Math.max(1, layout.rows);
  return Math.min(height - THICK, Math.floor(share * height));
}

/** The bucket with matches nearest to a pixel and no more than `reach` away, as the lines that it counts. */
export function bucketAt(
  marks: Marks,
  layout: Layout,
  height: number,
  pixel: number,
  reach: number,
): { first: number; last: number } | null {
  let nearest: { first: number; last: number } | null = null;
  let distance = reach + 1;
  marks.counts.forEach((count, bucket) => {
    const first = bucket * marks.bucket_lines + 1;
    const away = count > 0 ? Math.abs(pixelOf(first, layout, height) + THICK / 2 - pixel) : Infinity;
    if (away < distance) {
      distance = away;
      nearest = { first, last: first + marks.bucket_lines - 1 };
    }
  });
  return nearest;
}
