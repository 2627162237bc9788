import type { Finding } from '../api/types';

type Excerpt = NonNullable<Finding['excerpt']>;

/** `acme/app/main.yaml:2:12`; a finding about a file as a whole has its path alone. */
export function placeOf(finding: Pick<Finding, 'file' | 'line' | 'column'>): string {
  return finding.line === 0 ? finding.file : `${finding.file}:${finding.line}:${finding.column}`;
}

export function findingsByFile(findings: readonly Finding[]): ReadonlyMap<string, readonly Finding[]> {
  const byFile = new Map<string, Finding[]>();
  for (const finding of findings) {
    const others = byFile.get(finding.file);
    if (others) others.push(finding);
    else byFile.set(finding.file, [finding]);
  }
  return byFile;
}

/** The excerpt in three parts, of which the one in the middle is meant. Places count characters, not UTF-16. */
export function markOf({ text, start, width }: Excerpt): { before: string; marked: string; after: string } {
  const characters = [...text];
  const end = start + Math.max(1, width);
  return {
    before: characters.slice(0, start).join(''),
    // At the end of a line there is nothing to mark but the place.
    marked: characters.slice(start, end).join('') || ' ',
    after: characters.slice(end).join(''),
  };
}
