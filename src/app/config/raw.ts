/**
 * The raw document as the cross checks read it: whatever is itself malformed is passed over, since the schema tells of it.
 */
import type { KeyPath } from './toml-lines.ts';

/** One mistake: where in the document, and a sentence. */
export interface Finding {
  readonly path: KeyPath;
  readonly text: string;
}

export type Table = Readonly<Record<string, unknown>>;

export const isTable = (value: unknown): value is Table =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function tables(value: unknown): readonly Table[] {
  return Array.isArray(value) ? value.map((element) => (isTable(element) ? element : {})) : [];
}

export const text = (table: Table, key: string): string | null => (typeof table[key] === 'string' ? table[key] : null);

export function list(table: Table, key: string): readonly (string | null)[] {
  const value = table[key];
  return Array.isArray(value) ? value.map((element) => (typeof element === 'string' ? element : null)) : [];
}

/** `server "a"`, or `server 2` when it has no name. */
export function called(kind: string, table: Table, index: number): string {
  const name = text(table, 'name');
  return name === null ? `${kind} ${index + 1}` : `${kind} "${name}"`;
}
