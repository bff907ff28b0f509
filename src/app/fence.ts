/**
 * Fencing (docs/fencing.md): the command that an administrator configured for a server sees to it that nothing the server
 * issued reaches the medium any more. A server of this machine without a command is killed.
 */
import { Fault } from '../base/fault.ts';
import type { Done } from '../base/fault.ts';
import type { Incarnation, ServerId, VolumeName } from '../base/names.ts';
import type { Fence } from '../ports/world.ts';
import type { ProcessFence } from '../drivers/witness/process-fence.ts';
import { runCommand } from './command.ts';
import type { ServerConfig } from './config/load.ts';

export interface ServerFenceOptions {
  /** The server that claims. */
  readonly claimant: string;
  readonly servers: readonly ServerConfig[];
  /** For those of this machine. */
  readonly beside: ProcessFence;
  /** Whether late I/O is accepted by name for the volume's medium. */
  readonly acceptsLateIo: (volume: VolumeName) => boolean;
  /** Is told that a server of this machine could not be ended, and that the risk of that was accepted. */
  readonly risked: (victim: ServerId, volume: VolumeName, why: string) => void;
}

/** Runs the victims' own commands by `/bin/sh -c`; the others, where they run on this machine, are killed. */
export class ServerFence implements Fence {
  readonly #options: ServerFenceOptions;
  readonly #servers: ReadonlyMap<string, ServerConfig>;

  constructor(options: ServerFenceOptions) {
    this.#options = options;
    this.#servers = new Map(options.servers.map((server) => [server.name, server]));
  }

  covers(server: ServerId): boolean {
    // Earlier incarnations of the claimant itself ended when this one took its lock.
    if (server === this.#options.claimant) return false;
    return (this.#servers.get(server)?.fence ?? null) !== null || this.#options.beside.covers(server);
  }

  run(victim: { readonly server: ServerId; readonly incarnation: Incarnation }, volume: VolumeName, done: Done): void {
    if (!this.covers(victim.server)) return void setImmediate(done, null);
    const target = this.#servers.get(victim.server);
    if (target === undefined || target.fence === null) return this.#kill(victim, volume, done);
    const environment = {
      HOLDFAST_VICTIM: victim.server,
      HOLDFAST_VICTIM_ADDRESS: target.admin.host,
      HOLDFAST_VICTIM_LINKS: target.link.map((address) => address.host).join(' '),
      HOLDFAST_INCARNATION: victim.incarnation,
      HOLDFAST_VOLUME: volume,
      HOLDFAST_CLAIMANT: this.#options.claimant,
    };
    const { command, deadlineMs } = target.fence;
    runCommand({ what: 'the fence command', run: command, environment, deadlineMs }, done);
  }

  /** Where it cannot be ended, only an accepted risk lets the volume go on; the claimant waits for the lease then. */
  #kill(
    victim: { readonly server: ServerId; readonly incarnation: Incarnation },
    volume: VolumeName,
    done: Done,
  ): void {
    const { beside, acceptsLateIo, risked } = this.#options;
    beside.run(victim, (fault) => {
      if (fault === null) return done(null);
      if (!acceptsLateIo(volume)) {
        const remedy =
          'a "fence" command for it, or accept-risk = "late-io" for its medium, would let the volume go on';
        return done(new Fault(fault.kind, `${fault.message}; ${remedy}`, fault));
      }
      risked(victim.server, volume, fault.message);
      done(null);
    });
  }
}
