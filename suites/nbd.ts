/**
 * The conformance suite of the NBD protocol: every option, every command, every error of the document, asked of a
 * server that runs (NetworkBlockDevice/nbd, doc/proto.md). Any server can be its target; what the document leaves to
 * servers and this project has settled is asked only of `ours`.
 *
 *     nbdSuite('the NBD front end', { ours: true }, async () => ({ host, port, exportName, close }));
 */
import { after, before, describe } from 'node:test';
import { commandCases } from './nbd-commands.ts';
import { contextCases } from './nbd-contexts.ts';
import { optionCases } from './nbd-options.ts';

/** A server under test, with one writable export of at least 80 MiB that nobody else uses. */
export interface NbdTarget {
  readonly host: string;
  readonly port: number;
  readonly exportName: string;
  close(): Promise<void>;
}

export interface NbdSuiteOptions {
  /** Also ask for what only this project promises. */
  readonly ours: boolean;
}

/** Room of the export that the cases write to, bytes. */
export const SUITE_EXPORT_BYTES = 80 << 20;

/** Starts one server for all cases. */
export function nbdSuite(title: string, options: NbdSuiteOptions, start: () => Promise<NbdTarget>): void {
  describe(title, () => {
    let target: NbdTarget | null = null;
    before(async () => {
      target = await start();
    });
    after(async () => target?.close());
    const get = (): NbdTarget => {
      if (target === null) throw new Error('the server under test has not started');
      return target;
    };
    optionCases(get, options);
    contextCases(get, options);
    for (const style of ['simple', 'structured'] as const) commandCases(get, options, style);
    if (options.ours) commandCases(get, options, 'extended');
  });
}
