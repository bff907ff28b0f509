/**
 * Turns what the schema found into sentences for a person: what stands where, and what is wanted there instead.
 */
import { TomlDate } from 'smol-toml';
import type { core } from 'zod';
import type { Finding } from './raw.ts';
import { fileSchema } from './schema.ts';
import type { KeyPath } from './toml-lines.ts';

/** `volume "disk1", servers: `, so that the sentence behind it stands for itself. */
export function place(path: KeyPath, document: unknown): string {
  if (path.length === 0) return '';
  const [table, index] = path;
  let rest = path.slice(1);
  let head = `[${String(table)}]`;
  if (typeof index === 'number') {
    const name = at(document, [String(table), index, 'name']);
    head = typeof name === 'string' ? `${String(table)} "${name}"` : `[[${String(table)}]] ${index + 1}`;
    rest = path.slice(2);
  }
  const keys = rest.map((part) => (typeof part === 'number' ? `${part + 1}` : part)).join(' ');
  return keys === '' ? `${head}: ` : `${head}, ${keys}: `;
}

/** The value at `path` of the raw document; undefined when there is none. */
function at(document: unknown, path: KeyPath): unknown {
  let value: unknown = document;
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

/** Turns one issue of the schema into sentences of ours. */
export function explain(issue: core.$ZodIssue, document: unknown): Finding[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ path: [...path, key], text: `there is no such key${didYouMean(path, key)}` }));
    case 'invalid_type': {
      const value = at(document, path);
      if (value !== undefined) return [{ path, text: `${aKind(issue.expected)} is wanted here, not ${kindOf(value)}` }];
      const key = path.at(-1);
      const around = path.slice(0, -1);
      return [{ path: around, text: `the ${around.length === 0 ? `table [${key}]` : `key "${key}"`} is missing` }];
    }
    case 'invalid_value': {
      const choices = issue.values.map((value) => JSON.stringify(value)).join(' or ');
      const value = at(document, path);
      if (value !== undefined) return [{ path, text: `${JSON.stringify(value)} is not possible here: use ${choices}` }];
      return [{ path: path.slice(0, -1), text: `the key "${path.at(-1)}" is missing: ${choices}` }];
    }
    default:
      return [{ path, text: issue.message }];
  }
}

const aKind = (expected: string): string => {
  switch (expected) {
    case 'object':
      return 'a table';
    case 'array':
      return 'a list';
    case 'string':
      return 'a text in quotes';
    default:
      return `a ${expected}`;
  }
};

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value instanceof TomlDate) return 'a date';
  if (typeof value === 'object') return 'a table';
  return `the ${typeof value} ${JSON.stringify(value)}`;
}

/** Names the known key that looks most like the unknown one, if any does. */
function didYouMean(path: KeyPath, key: string): string {
  let schema: core.$ZodType | undefined = fileSchema;
  for (const part of path) schema = schema === undefined ? undefined : childOf(unwrap(schema), part);
  const known = schema === undefined ? [] : Object.keys(shapeOf(unwrap(schema)) ?? {});
  const best = known.map((one) => ({ one, far: distance(one, key.toLowerCase()) })).sort((a, b) => a.far - b.far)[0];
  return best !== undefined && best.far <= Math.max(1, key.length / 3) ? `: did you mean "${best.one}"?` : '';
}

type Definition = { shape?: Record<string, core.$ZodType>; element?: core.$ZodType; innerType?: core.$ZodType };
const definition = (schema: core.$ZodType): Definition => schema._zod.def as Definition;
const shapeOf = (schema: core.$ZodType): Record<string, core.$ZodType> | undefined => definition(schema).shape;
function unwrap(schema: core.$ZodType): core.$ZodType {
  const inner = definition(schema).innerType;
  return inner === undefined ? schema : unwrap(inner);
}
function childOf(schema: core.$ZodType, part: string | number): core.$ZodType | undefined {
  return typeof part === 'number' ? definition(schema).element : shapeOf(schema)?.[part];
}

/** How many characters must be changed, added or removed to turn `a` into `b` (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
