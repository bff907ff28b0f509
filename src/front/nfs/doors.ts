/**
 * The clients' doors on NFS: the port `Doors` for files volumes. One listener per volume, at the volume's own service
 * address, open only while this server serves the volume; NFS version 3 and MOUNT version 3 on the same port.
 */
import { type Done, Fault } from '../../base/fault.ts';
import type { Epoch, VolumeName } from '../../base/names.ts';
import type { VolumeService } from '../../ports/service.ts';
import type { Doors } from '../../ports/world.ts';
import { Door } from './door.ts';
import { checkLimits, DEFAULT_NFS_LIMITS, type NfsLimits } from './limits.ts';
import { LOCAL_PORTMAPPER, type PortmapperAddress } from './portmapper.ts';
import type { NfsExport, NfsLog, NfsProgramFactory } from './program.ts';

export interface NfsDoorsOptions {
  /** Where and for whom each volume is served. No two volumes share an address. */
  readonly exports: ReadonlyMap<VolumeName, NfsExport>;
  /** Makes what answers a volume's calls: once per opening. */
  readonly program: NfsProgramFactory;
  readonly log: NfsLog;
  /** Defaults to DEFAULT_NFS_LIMITS. */
  readonly limits?: NfsLimits;
  /** Where volumes that ask for it are registered: this host's port mapper by default. */
  readonly portmapper?: PortmapperAddress;
}

export class NfsDoors implements Doors {
  readonly #options: NfsDoorsOptions;
  readonly #limits: NfsLimits;
  readonly #doors = new Map<VolumeName, Door>();

  constructor(options: NfsDoorsOptions) {
    this.#options = options;
    this.#limits = options.limits ?? DEFAULT_NFS_LIMITS;
    checkLimits(this.#limits);
  }

  /**
   * Makes the volume's program ready and listens; an address that its previous owner on this host still holds is tried
   * again every few milliseconds until it is free or the door is closed. A door of an earlier epoch is closed first.
   * Faults: the program's own, `refused` (not exported, or listening there is not permitted), `io` (the address is not
   * this host's, and the like).
   */
  open(volume: VolumeName, epoch: Epoch, service: VolumeService, done: Done): void {
    this.close(volume, `volume ${volume} is opened anew in epoch ${epoch}`);
    const { exports, program, log, portmapper } = this.#options;
    const exported = exports.get(volume);
    if (exported === undefined) {
      const fault = new Fault('refused', `volume ${volume} has no service address for NFS`);
      setImmediate(() => done(fault));
      return;
    }
    const parts = {
      volume,
      epoch,
      exported,
      program: program(volume, epoch, service, exported, log),
      limits: this.#limits,
      portmapper: portmapper ?? LOCAL_PORTMAPPER,
      log,
    };
    this.#doors.set(volume, new Door(parts, done));
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

  /** Bytes that a volume's requests and answers count for now; never much beyond the limits' `maxVolumeBytes`. */
  usedBytes(volume: VolumeName): number {
    return this.#doors.get(volume)?.usedBytes ?? 0;
  }
}
