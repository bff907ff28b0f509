/**
 * Brings service addresses to this machine and takes them away: by the configured commands, or by `ip addr` on a
 * network device, announced (gratuitous ARP, neighbour advertisement) so that neighbours follow at once.
 */
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { Fault } from '../../base/fault.ts';
import type { Done } from '../../base/fault.ts';
import { announceAddress } from '../../drivers/linux/announce-address.ts';
import { tickleAll } from '../../drivers/linux/tickle.ts';
import type { End } from '../../drivers/linux/tickle.ts';
import { runCommand } from '../command.ts';
import type { ServerConfig, VolumeConfig } from '../config/load.ts';

/** Longest time for one command, ms. A door that is held for a takeover waits for it. */
const DEADLINE_MS = 5_000;
/** What `ip addr del` says of an address that is not there, for IPv4 and for IPv6. */
const NOT_THERE = /Cannot assign requested address|address not found/;

/** What a server does with the address of one volume. */
export interface AddressMover {
  /** The volume's address is this machine's when `done` is called without a fault. */
  up(volume: VolumeConfig, done: Done): void;
  /** It is not any more. */
  down(volume: VolumeConfig, done: Done): void;
  /** Says again on the network where the address is. Null, or why it could not be said. */
  announce(volume: VolumeConfig): Fault | null;
  /** Has clients of the address find out that their connections to its last holder are dead. Null, or why it cannot. */
  tickle(volume: VolumeConfig, clients: readonly End[]): Fault | null;
}

/** The mover that the server's configuration asks for; null when its addresses are there anyway. */
export function addressMover(server: ServerConfig): AddressMover | null {
  return server.addresses === null ? null : new HookMover(server);
}

class HookMover implements AddressMover {
  readonly #server: ServerConfig;

  constructor(server: ServerConfig) {
    this.#server = server;
  }

  up(volume: VolumeConfig, done: Done): void {
    const hooks = this.#server.addresses;
    if (hooks?.up != null) return this.#run('the address command', hooks.up, volume, done);
    if (hooks?.device == null) return void setImmediate(done, null);
    this.#ip('replace', hooks.device, volume, done);
  }

  down(volume: VolumeConfig, done: Done): void {
    const hooks = this.#server.addresses;
    if (hooks?.down != null) return this.#run('the address command', hooks.down, volume, done);
    if (hooks?.device == null) return void setImmediate(done, null);
    this.#ip('del', hooks.device, volume, (fault) =>
      done(fault !== null && NOT_THERE.test(fault.message) ? null : fault),
    );
  }

  announce(volume: VolumeConfig): Fault | null {
    const hooks = this.#server.addresses;
    const { host } = volume.address;
    // Commands announce by themselves.
    if (hooks?.device == null || hooks.up !== null || isIP(host) === 0) return null;
    const { device } = hooks;
    return faultOf(() => announceAddress(host, device));
  }

  tickle({ address }: VolumeConfig, clients: readonly End[]): Fault | null {
    return isIP(address.host) === 0 ? null : faultOf(() => tickleAll(address, clients));
  }

  #ip(verb: 'replace' | 'del', device: string, volume: VolumeConfig, done: Done): void {
    const { host } = volume.address;
    const six = isIPv6(host);
    if (!six && !isIPv4(host)) {
      const fault = new Fault(
        'refused',
        `"${host}" of volume ${volume.name} is no IP address: \`ip addr\` cannot move it`,
      );
      return void setImmediate(done, fault);
    }
    // Nobody else has it by the record, so that duplicate address detection would only cost time. It is for those who
    // connect to it: connections of the machine's own do not begin at it.
    const words = [
      'ip',
      'addr',
      verb,
      `${host}/${six ? 128 : 32}`,
      'dev',
      device,
      ...(six && verb !== 'del' ? ['preferred_lft', '0', 'nodad'] : []),
    ];
    this.#run('the command', words, volume, done);
  }

  #run(what: string, run: string | readonly string[], volume: VolumeConfig, done: Done): void {
    const { host, port } = volume.address;
    const device = this.#server.addresses?.device ?? null;
    const environment = {
      HOLDFAST_ADDRESS: host,
      HOLDFAST_PORT: String(port),
      HOLDFAST_VOLUME: volume.name,
      HOLDFAST_SERVER: this.#server.name,
      ...(device === null ? {} : { HOLDFAST_INTERFACE: device }),
    };
    runCommand({ what, run, environment, deadlineMs: DEADLINE_MS }, done);
  }
}

function faultOf(run: () => void): Fault | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

/** Takes every address away: before a start, and after an end that could not do it itself. Faults are told, never thrown. */
export async function removeAddresses(
  mover: AddressMover,
  volumes: readonly VolumeConfig[],
  told: (volume: VolumeConfig, fault: Fault) => void,
): Promise<void> {
  await Promise.all(
    volumes.map(
      (volume) =>
        new Promise<void>((resolve) => {
          mover.down(volume, (fault) => {
            if (fault !== null) told(volume, fault);
            resolve();
          });
        }),
    ),
  );
}
