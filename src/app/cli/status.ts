/** `holdfast status`: what every volume and server is at, also while some servers are down. */
import type { Command } from 'commander';
import { setTimeout as pause } from 'node:timers/promises';
import { ExitCode, Failure } from '../exit.ts';
import { paintFor } from '../style.ts';
import { askAll, configOption, openCluster, requireConfig } from './common.ts';
import type { Cluster, ServerView } from './common.ts';
import { EventReader, eventLine } from './events.ts';
import type { ToldEvent } from './events.ts';
import { statusText } from './status-text.ts';

const WATCH_MS = 500;
/** The newest events below the status. */
const EVENTS_SHOWN = 12;

interface Options {
  readonly config: string;
  readonly json?: boolean;
  readonly watch?: boolean;
}

export function addStatus(program: Command): void {
  program
    .command('status')
    .description('show every volume and server')
    .addOption(configOption())
    .option('--json', 'as JSON, one line')
    .option('-w, --watch', 'again and again until Ctrl-C, with the newest events')
    .action(async (options: Options) => {
      const cluster = openCluster(requireConfig(options.config));
      if (options.watch === true) await watch(cluster, options.json === true);
      const servers = await askAll(cluster);
      process.stdout.write(`${render(cluster, servers, options.json === true)}\n`);
      if (servers.every((view) => view.answer === null)) {
        throw new Failure(ExitCode.unreachable, 'no server of the cluster answers');
      }
    });
}

function render(cluster: Cluster, servers: readonly ServerView[], json: boolean): string {
  if (!json) return statusText(cluster.config, servers, paintFor(process.stdout));
  const value = servers.map((view) => ({ server: view.server.name, ...view.answer, error: view.silence }));
  return JSON.stringify({ cluster: cluster.config.cluster, servers: value });
}

/** Draws over itself in a terminal; elsewhere each look is printed behind the last one. Ends with the process. */
async function watch(cluster: Cluster, json: boolean): Promise<never> {
  const over = process.stdout.isTTY === true && !json;
  const paint = paintFor(process.stdout);
  const reader = new EventReader(cluster);
  let events: readonly ToldEvent[] = [];
  for (;;) {
    const [views, told] = await Promise.all([askAll(cluster), json ? [] : reader.read(EVENTS_SHOWN)]);
    events = [...events, ...told].slice(-EVENTS_SHOWN);
    const text = [render(cluster, views, json)];
    // Where nothing is drawn over, each event is printed once.
    const shown = over ? events : told;
    if (shown.length > 0)
      text.push('', paint('strong', 'events'), ...shown.map((event) => `  ${eventLine(event, paint)}`));
    process.stdout.write(over ? `\u001b[H\u001b[2J${text.join('\n')}\n` : `${text.join('\n')}\n`);
    await pause(WATCH_MS);
  }
}
