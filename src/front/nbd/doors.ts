/**
 * The clients' doors on NBD: the port `Doors` for block volumes. One listener per volume, at the volume's own service
 * address, open only while this server serves the volume.
 */
import { type Done, Fault } from '../../base/fault.ts';
import type { Epoch, VolumeName } from '../../base/names.ts';
import type { VolumeService } from '../../ports/service.ts';
import type { Doors } from '../../ports/world.ts';
import type { NbdLog } from './connection.ts';
import { Door, type NbdAddress } from './door.ts';
import { checkLimits, DEFAULT_NBD_LIMITS, type NbdLimits } from './limits.ts';

export interface NbdDoorsOptions {
  /** Each volume's service address. No two volumes share one. */
  readonly addresses: ReadonlyMap<VolumeName, NbdAddress>;
  readonly log: NbdLog;
  /** Defaults to DEFAULT_NBD_LIMITS. */
  readonly limits?: NbdLimits;
}

export class NbdDoors implements Doors {
  readonly #addresses: ReadonlyMap<VolumeName, NbdAddress>;
  readonly #log: NbdLog;
  readonly #limits: NbdLimits;
  readonly #doors = new Map<VolumeName, Door>();

  constructor(options: NbdDoorsOptions) {
    this.#addresses = options.addresses;
    this.#log = options.log;
    this.#limits = options.limits ?? DEFAULT_NBD_LIMITS;
    checkLimits(this.#limits);
  }

  /**
   * Listens; an address that its previous owner on this host still holds is tried again every few milliseconds until it
   * is free or the door is closed. A door of an earlier epoch is closed first. Faults: `refused` (no address is
   * configured, or listening there is not permitted), `io` (the address is not this host's, and the like).
   */
  open(volume: VolumeName, epoch: Epoch, service: VolumeService, done: Done): void {
    this.close(volume, `volume ${volume} is opened anew in epoch ${epoch}`);
    const address = this.#addresses.get(volume);
    if (address === undefined) {
      const fault = new Fault('refused', `volume ${volume} has no service address for NBD`);
      setImmediate(() => done(fault));
      return;
    }
    this.#doors.set(volume, new Door(volume, epoch, service, address, this.#limits, this.#log, done));
  }

  hold(volume: VolumeName, done: () => void): void {
    const door = this.#doors.get(volume);
    if (door === undefined) setImmediate(done);
    else door.hold(done);
  }

  close(volume: VolumeName, why: string): void {
    const door = this.#doors.get(volume);
    this.#doors.delete(volume);
    door?.close(why);
  }

  /** Who is connected, each as `address port`. */
  clients(volume: VolumeName): readonly string[] {
    return this.#doors.get(volume)?.clients() ?? [];
  }

  /** Open connections of a volume. */
  connections(volume: VolumeName): number {
    return this.#doors.get(volume)?.connections ?? 0;
  }

  /** The port on which a volume is listened for now, or null. */
  port(volume: VolumeName): number | null {
    return this.#doors.get(volume)?.port ?? null;
  }
}
