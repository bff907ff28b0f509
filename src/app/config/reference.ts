/**
 * docs/configuration.md, written from the schema, so that the reference can never say anything else than the program.
 * `reference.test.ts` checks that the file is current; `HOLDFAST_REWRITE=1 npm test` writes it anew.
 */
import { z } from 'zod';
import { fileSchema } from './schema.ts';

interface Described {
  readonly type?: string;
  readonly title?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly example?: unknown;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, Described>>;
  readonly required?: readonly string[];
  readonly items?: Described;
}

const INTRODUCTION = `# The configuration file

One TOML file describes the whole cluster and is the same on every server. \`holdfast check-config FILE\` shows every
mistake in it with its line; nothing unknown is accepted or ignored. [examples/pair.toml](../examples/pair.toml) is a
complete file to start from.

| notation | is written as |
| --- | --- |
| name | 1 to 32 letters, digits, \`-\` or \`_\`, beginning with a letter or digit |
| size | a number with \`B\`, \`KiB\`, \`MiB\`, \`GiB\` or \`TiB\`: \`"64MiB"\` |
| duration | a number with \`ms\`, \`s\`, \`m\` or \`h\`: \`"50ms"\` |
| address | host and port: \`"10.0.0.1:7400"\`, \`"[::1]:7400"\` |
| network | an IP address, or the first one and a length: \`"10.0.0.0/16"\`, \`"2001:db8::/48"\` |
| mode | permissions in octal: \`"0755"\` |
| path | absolute, or relative to the directory of the configuration file |

This page is written from the schema in \`src/app/config/schema.ts\`.
`;

/** The whole page as Markdown. */
export function configurationReference(): string {
  const document = z.toJSONSchema(fileSchema, { io: 'input' }) as unknown as Described;
  const parts = [INTRODUCTION];
  for (const [name, value] of Object.entries(document.properties ?? {})) parts.push(section(name, value, document));
  return parts.join('\n');
}

function section(name: string, value: Described, document: Described): string {
  const isList = value.type === 'array';
  const table = isList ? (value.items ?? {}) : value;
  return tableText(name, isList ? `[[${name}]]` : `[${name}]`, table, document.required?.includes(name) === true);
}

/** One table's keys, and below them the tables in it. */
function tableText(name: string, head: string, table: Described, required: boolean): string {
  const lines = [`## \`${head}\``, '', `${table.description ?? ''}${required ? '' : ' It may be left out.'}`, ''];
  lines.push('| key | is | default | meaning |', '| --- | --- | --- | --- |');
  const within: string[] = [];
  for (const [key, field] of Object.entries(table.properties ?? {})) {
    const isRequired = table.required?.includes(key) === true;
    if (field.type === 'object') within.push(tableText(`${name}.${key}`, `[${name}.${key}]`, field, isRequired));
    else lines.push(`| \`${key}\` | ${kindOf(field)} | ${defaultOf(field, isRequired)} | ${meaningOf(field)} |`);
  }
  return [`${lines.join('\n')}\n`, ...within].join('\n');
}

function kindOf(field: Described): string {
  if (field.enum !== undefined) return field.enum.map(literal).join(' or ');
  if (field.const !== undefined) return literal(field.const);
  if (field.type === 'array') return `list of ${kindOf(field.items ?? {})}`;
  return field.title ?? field.type ?? '';
}

function defaultOf(field: Described, required: boolean): string {
  if (field.default !== undefined) return literal(field.default);
  return required ? '**required**' : 'none';
}

function meaningOf(field: Described): string {
  const { example } = field;
  const text = (field.description ?? '').replaceAll('|', '\\|');
  return example === undefined ? text : `${text} Example: ${literal(example)}`;
}

const literal = (value: unknown): string => `\`${JSON.stringify(value)}\``;
