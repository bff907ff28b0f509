/**
 * The fence hook: runs the command that an administrator configured for a server, so that nothing the server issued
 * reaches the medium any more. What the command says by its exit code is believed; it is bounded by its deadline.
 */
import { spawn } from 'node:child_process';
import { Fault } from '../base/fault.ts';
import type { Done } from '../base/fault.ts';
import type { Incarnation, ServerId, VolumeName } from '../base/names.ts';
import type { Fence } from '../ports/world.ts';
import type { ServerConfig } from './config/load.ts';

/** How much of what a command says goes into the fault. */
const MOST_OUTPUT_CHARACTERS = 400;

/** Runs the victims' own commands by `/bin/sh -c`. */
export class CommandFence implements Fence {
  /** Every server that may be a victim has a command: the configuration has them all or none. */
  readonly configured: boolean;
  readonly #claimant: string;
  readonly #victims: ReadonlyMap<string, ServerConfig>;

  constructor(claimant: string, servers: readonly ServerConfig[]) {
    const others = servers.filter((server) => server.name !== claimant);
    this.#claimant = claimant;
    this.#victims = new Map(others.map((server) => [server.name, server]));
    this.configured = others.length > 0 && others.every((server) => server.fence !== null);
  }

  run(victim: { readonly server: ServerId; readonly incarnation: Incarnation }, volume: VolumeName, done: Done): void {
    // An earlier incarnation of the claimant itself ended when this one took its lock.
    const fence = this.#victims.get(victim.server)?.fence ?? null;
    if (!this.configured || victim.server === this.#claimant) {
      setImmediate(done, null);
      return;
    }
    if (fence === null) {
      setImmediate(done, new Fault('refused', `there is no fence command for the server "${victim.server}"`));
      return;
    }
    const environment = {
      ...process.env,
      HOLDFAST_VICTIM: victim.server,
      HOLDFAST_INCARNATION: victim.incarnation,
      HOLDFAST_VOLUME: volume,
      HOLDFAST_CLAIMANT: this.#claimant,
    };
    runCommand(fence.command, environment, fence.deadlineMs, done);
  }
}

function runCommand(command: string, environment: NodeJS.ProcessEnv, deadlineMs: number, done: Done): void {
  // A group of its own: at the deadline the command's children end with it.
  const child = spawn('/bin/sh', ['-c', command], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let said = '';
  const listen = (chunk: string): void => {
    said = (said + chunk).slice(0, MOST_OUTPUT_CHARACTERS);
  };
  child.stdout.setEncoding('utf8').on('data', listen);
  child.stderr.setEncoding('utf8').on('data', listen);
  let settled = false;
  const settle = (fault: Fault | null): void => {
    if (settled) return;
    settled = true;
    clearTimeout(deadline);
    done(fault);
  };
  const deadline = setTimeout(() => {
    if (child.pid !== undefined) killGroup(child.pid);
    settle(new Fault('timeout', `the fence command \`${command}\` did not end within ${deadlineMs / 1_000} s`));
  }, deadlineMs);
  child.on('error', (error) =>
    settle(new Fault('io', `the fence command \`${command}\` did not start: ${error.message}`, error)),
  );
  child.on('exit', (code, signal) => {
    if (code === 0) return settle(null);
    const how = code === null ? `was ended by ${String(signal)}` : `failed with exit code ${code}`;
    const words = said.trim() === '' ? '' : `: ${said.trim()}`;
    settle(new Fault('io', `the fence command \`${command}\` ${how}${words}`));
  });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended in this moment.
  }
}
