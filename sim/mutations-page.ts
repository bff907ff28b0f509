/** The list of the seeded mutations in docs/simulator.md, as `mutations-page.test.ts` keeps it. */
import type { Mutation } from './mutation.ts';

/** A table of them, in the order in which they are declared. */
export function mutationsTable(mutations: readonly Mutation[]): string {
  const rows = mutations.map(({ id, what, worlds, within }) => `| ${id} | ${what} | ${worldsOf(worlds)} | ${within} |`);
  return [
    '| mutation | what the core does wrong | worlds | caught within |',
    '| --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

/** What the worlds must contain, in a few words. */
function worldsOf(worlds: Mutation['worlds']): string {
  if (worlds === undefined) return 'any';
  const parts = Object.entries(worlds).map(([key, value]) => {
    if (key === 'storm') return `storm ${String(value)}`;
    if (key === 'files') return 'files volumes';
    if (key === 'stores') return `${String(value)} stores`;
    if (key === 'menu') return `troubles of ${(value as readonly string[]).join(', ')}`;
    if (key === 'degraded') return `policy ${(value as readonly string[]).join(', ')}`;
    return key === 'losses' ? (value === 0 ? 'no losses' : 'losses') : `${String(value)} ${key}`;
  });
  return parts.join('; ');
}
