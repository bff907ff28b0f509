/**
 * `holdfast takeover` and `holdfast giveback`: planned changes of owner. Both wait, show progress and report the pause.
 */
import type { Command } from 'commander';
import type { Fault } from '../../base/fault.ts';
import { Fault as FaultClass } from '../../base/fault.ts';
import { formatMs } from '../config/units.ts';
import { exitCodeOf, ExitCode, Failure } from '../exit.ts';
import { paintFor } from '../style.ts';
import {
  askAll,
  configOption,
  openCluster,
  requireConfig,
  requireServer,
  requireVolume,
  toFailure,
  volumeViews,
} from './common.ts';
import type { Cluster, VolumeView } from './common.ts';

interface Options {
  readonly config: string;
  readonly to?: string;
}

export function addTakeover(program: Command): void {
  program
    .command('takeover <volume>')
    .description('have another server take the volume over, without losing a request')
    .addOption(configOption())
    .option('--to <server>', 'the server that is to own it; left out: the first that can')
    .action(async (name: string, options: Options) => {
      const cluster = openCluster(requireConfig(options.config));
      requireVolume(cluster.config, name);
      if (options.to !== undefined) requireServer(cluster.config, options.to);
      const view = await look(cluster, name);
      await carryOut(cluster, view, options.to ?? chooseTaker(view));
    });
}

export function addGiveback(program: Command): void {
  program
    .command('giveback <volume>')
    .description('have the preferred owner take its volume back')
    .addOption(configOption())
    .action(async (name: string, options: Options) => {
      const cluster = openCluster(requireConfig(options.config));
      const preferred = requireVolume(cluster.config, name).servers[0] ?? '';
      await carryOut(cluster, await look(cluster, name), preferred);
    });
}

/** The volume as the cluster sees it now. */
async function look(cluster: Cluster, name: string): Promise<VolumeView> {
  const servers = await askAll(cluster);
  if (servers.every((view) => view.answer === null)) {
    throw new Failure(ExitCode.unreachable, servers.map((view) => view.silence).join('\n'));
  }
  const view = volumeViews(cluster.config, servers).find((one) => one.config.name === name);
  if (view?.best === undefined || view.best === null) {
    throw new Failure(ExitCode.refused, `no server that answers knows the volume "${name}": was it created?`);
  }
  return view;
}

/** The first server by preference that could take it now; else the failure tells why none can. */
function chooseTaker(view: VolumeView): string {
  const owner = view.best?.owner ?? null;
  const others = view.config.servers.filter((server) => server !== owner);
  const able = others.find((server) => view.byServer.get(server)?.takeoverRefusal === null);
  if (able !== undefined) return able;
  const why = others.map(
    (server) => `${server}: ${view.byServer.get(server)?.takeoverRefusal ?? 'it does not answer'}`,
  );
  const reasons = why.length === 0 ? 'it has no other server' : why.join('; ');
  throw new Failure(ExitCode.refused, `nobody can take the volume "${view.config.name}" over: ${reasons}`);
}

async function carryOut(cluster: Cluster, view: VolumeView, taker: string): Promise<void> {
  const paint = paintFor(process.stdout);
  const name = view.config.name;
  const owner = view.best?.owner ?? 'nobody';
  if (owner === taker && view.best?.serving === true) {
    process.stdout.write(`${taker} owns the volume "${name}" already: nothing to do\n`);
    return;
  }
  process.stdout.write(`${paint('strong', name)}: ${owner} ${paint('dim', '->')} ${paint('strong', taker)}\n`);
  const startedMs = performance.now();
  const since = (): string => paint('dim', formatMs(performance.now() - startedMs).padStart(8));
  try {
    const report = await cluster.client(taker).takeover(name, (text) => process.stdout.write(`${since()}  ${text}\n`));
    const pause = paint('strong', formatMs(report.pauseMs));
    process.stdout.write(`${since()}  ${paint('good', 'done')}: ${taker} serves it; clients waited ${pause}\n`);
  } catch (error) {
    if (error instanceof FaultClass) throw explained(error, name, taker);
    throw toFailure(error);
  }
}

function explained(fault: Fault, name: string, taker: string): Failure {
  return new Failure(exitCodeOf(fault), `${taker} did not take the volume "${name}" over: ${fault.message}`, fault);
}
