/** What is typed into a box for a whole name, of which some are known. */

/** Names that a hint lists. */
const SHOWN = 3;

export interface Typed {
  /** The name to filter by; null while what is typed may become one of the known names. */
  readonly apply: string | null;
  /** What to tell the reader; null when there is nothing to say. */
  readonly hint: string | null;
}

/** What to do while the reader types: a name takes effect once it is whole, and so does what no name holds. */
export function readTyped(typed: string, known: readonly string[], what: string): Typed {
  const name = typed.trim();
  if (name === '' || known.includes(name)) return { apply: name, hint: null };
  const wanted = name.toLowerCase();
  const like = known.filter((other) => other.toLowerCase().includes(wanted));
  if (like.length === 0) {
    return { apply: name, hint: `No ${what} has “${name}” in its name.` };
  }
  const shown = like.slice(0, SHOWN).join(', ');
  const rest = like.length > SHOWN ? ', …' : '';
  return { apply: null, hint: `Not a whole name yet: ${shown}${rest}` };
}
