/**
 * The life of one server's process: it starts, takes part, hands everything over when it is told to stop, and ends
 * with an exit code that says how it went.
 */
import { Fault } from '../base/fault.ts';
import type { Config, ServerConfig } from './config/load.ts';
import { composeServer } from './compose.ts';
import type { Composed } from './compose.ts';
import { ExitCode, exitCodeOf } from './exit.ts';
import { History } from './history.ts';
import type { Log } from './log.ts';
import { openLog } from './log.ts';
import { isSupervised, tellSupervisor } from './supervisor/channel.ts';

/** Runs the server until it is told to stop; the result is the process's exit code. */
export function runServer(config: Config, server: ServerConfig): Promise<ExitCode> {
  const history = new History((why) => log.note('history.failed', { why }));
  const log: Log = openLog(server.name, process.stdout.isTTY === true, history);
  const die = (error: unknown): never => {
    log.bug(error);
    log.flush();
    process.exit(ExitCode.bug);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
  if (isSupervised()) process.once('disconnect', () => log.note('supervisor.lost', { pid: process.pid }));
  return new Promise((resolve) => {
    const end = (code: ExitCode): void => {
      log.flush();
      resolve(code);
    };
    live(config, server, { log, history }, end, die).catch(die);
  });
}

async function live(
  config: Config,
  server: ServerConfig,
  { log, history }: { readonly log: Log; readonly history: History },
  end: (code: ExitCode) => void,
  bug: (error: unknown) => never,
): Promise<void> {
  let composed: Composed | null = null;
  let signals = 0;
  const stop = (signal: NodeJS.Signals): void => {
    signals += 1;
    if (signals > 1 || composed === null) {
      log.note('server.cut', { signal, why: composed === null ? 'not yet started' : 'a second signal' });
      log.flush();
      process.exit(composed === null ? ExitCode.ok : ExitCode.interrupted);
    }
    log.note('server.stopping', { signal });
    stopOrderly(composed, log, end).catch(bug);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', () => {
    if (composed === null) return log.note('config.refused', { why: 'the server has not started yet' });
    composed.reload().catch((error: unknown) => {
      if (!(error instanceof Fault)) return bug(error);
      log.note('config.refused', { why: error.message });
    });
  });
  try {
    const quit = (why: string): void => {
      log.note('server.quit', { why });
      end(ExitCode.unfit);
    };
    composed = await composeServer(config, server, { log, history }, { bug, quit });
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    log.note('server.refused', { reason: error.message, kind: error.kind });
    end(exitCodeOf(error));
    return;
  }
  composed.control.start();
  log.note('server.started', composed.facts);
  tellSupervisor({ holdfast: 'up' });
}

async function stopOrderly(composed: Composed, log: Log, end: (code: ExitCode) => void): Promise<void> {
  const startedMs = performance.now();
  await new Promise<void>((resolve) => composed.control.stop(resolve));
  await composed.close();
  log.note('server.stopped', { ms: Math.round(performance.now() - startedMs) });
  end(ExitCode.ok);
}
