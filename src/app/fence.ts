/**
 * The fence hook: runs the command that an administrator configured for a server, so that nothing the server issued
 * reaches the medium any more (docs/fencing.md).
 */
import { Fault } from '../base/fault.ts';
import type { Done } from '../base/fault.ts';
import type { Incarnation, ServerId, VolumeName } from '../base/names.ts';
import type { Fence } from '../ports/world.ts';
import { runCommand } from './command.ts';
import type { ServerConfig } from './config/load.ts';

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
    const target = this.#victims.get(victim.server);
    if (!this.configured || victim.server === this.#claimant) {
      setImmediate(done, null);
      return;
    }
    if (target === undefined || target.fence === null) {
      setImmediate(done, new Fault('refused', `there is no fence command for the server "${victim.server}"`));
      return;
    }
    const environment = {
      HOLDFAST_VICTIM: victim.server,
      HOLDFAST_VICTIM_ADDRESS: target.admin.host,
      HOLDFAST_VICTIM_LINKS: target.link.map((address) => address.host).join(' '),
      HOLDFAST_INCARNATION: victim.incarnation,
      HOLDFAST_VOLUME: volume,
      HOLDFAST_CLAIMANT: this.#claimant,
    };
    const { command, deadlineMs } = target.fence;
    runCommand({ what: 'the fence command', run: command, environment, deadlineMs }, done);
  }
}
