/**
 * `holdfast demo`: a pair on this machine, a client, a death, and the proof that nothing was lost; then it goes on
 * running for the user's own clients.
 */
import type { Command } from 'commander';

interface Options {
  readonly once?: boolean;
}

export function addDemo(program: Command): void {
  program
    .command('demo')
    .description('run a pair on this machine, kill its owner in mid-write, and check every acknowledged byte')
    .option('--once', 'end after the check: exit code 0 only if every acknowledged byte was there')
    .action(async (options: Options) => {
      // Loaded only here: the other commands start faster without the drivers.
      const { runDemo } = await import('../demo/run.ts');
      await runDemo(options.once === true);
    });
}
