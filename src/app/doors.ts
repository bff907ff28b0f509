/**
 * The clients' doors of one server: each volume is served by the protocol of its type, NBD or NFS, behind one port.
 */
import { Buffer } from 'node:buffer';
import type { Done } from '../base/fault.ts';
import type { Epoch, VolumeName } from '../base/names.ts';
import { NbdDoors } from '../front/nbd/doors.ts';
import { NfsDoors } from '../front/nfs/doors.ts';
import { createFilesProgram } from '../front/nfs/files-program.ts';
import type { NfsExport } from '../front/nfs/program.ts';
import type { VolumeService } from '../ports/service.ts';
import type { Doors } from '../ports/world.ts';
import type { FilesVolumeConfig, VolumeConfig } from './config/load.ts';
import type { Address } from './config/units.ts';
import type { Fields } from './log.ts';

function exportOf({ address, export: said }: FilesVolumeConfig): NfsExport {
  const { readOnly, squash, anonUid, anonGid, portmapper } = said;
  const clients = (said.clients ?? []).map(({ family, bytes, prefix }) => {
    return { family, bytes: Buffer.from(bytes), prefix };
  });
  return { address, readOnly, squash, anonUid, anonGid, clients, portmapper };
}

/** Hands each volume to the doors of its type. */
export class DoorsByType implements Doors {
  readonly #addresses = new Map<VolumeName, Address>();
  readonly #exports = new Map<VolumeName, NfsExport>();
  readonly #nbd: NbdDoors;
  readonly #nfs: NfsDoors;

  constructor(volumes: readonly VolumeConfig[], log: (event: string, fields: Fields) => void) {
    this.#nbd = new NbdDoors({ addresses: this.#addresses, log });
    this.#nfs = new NfsDoors({ exports: this.#exports, program: createFilesProgram, log });
    for (const volume of volumes) this.add(volume);
  }

  /** From now on this volume can be served, too. */
  add(volume: VolumeConfig): void {
    const name = volume.name as VolumeName;
    if (volume.type === 'block') this.#addresses.set(name, volume.address);
    else this.#exports.set(name, exportOf(volume));
  }

  open(volume: VolumeName, epoch: Epoch, service: VolumeService, done: Done): void {
    this.#of(volume).open(volume, epoch, service, done);
  }

  hold(volume: VolumeName, done: () => void): void {
    this.#of(volume).hold(volume, done);
  }

  close(volume: VolumeName, why: string): void {
    this.#of(volume).close(volume, why);
  }

  clients(volume: VolumeName): readonly string[] {
    return this.#of(volume).clients?.(volume) ?? [];
  }

  #of(volume: VolumeName): Doors {
    return this.#exports.has(volume) ? this.#nfs : this.#nbd;
  }
}
