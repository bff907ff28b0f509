/**
 * Which drivers the configuration asks for: the one place that turns its words into drivers' objects.
 */
import type { ServerId, VolumeName } from '../base/names.ts';
import { DirectoryCoordinator } from '../drivers/coordinator/directory.ts';
import { DirectoryMedium } from '../drivers/medium/directory.ts';
import { ImageMedium } from '../drivers/medium/image.ts';
import type { Clock } from '../ports/clock.ts';
import type { Medium } from '../ports/medium.ts';
import type { Config, Sharing, VolumeConfig } from './config/load.ts';

/** `who`: the server, or the command, that the coordinator's own files are named after. */
export function makeCoordinator(config: Config, who: string, clock: Clock): DirectoryCoordinator {
  const machines = new Set(config.servers.map((server) => server.machine));
  const apart = machines.size > 1 || config.media.some((medium) => medium.sharing === 'machines');
  const sharing: Sharing = apart ? 'machines' : 'host';
  return new DirectoryCoordinator({ directory: config.coordinatorDirectory, server: who as ServerId, sharing, clock });
}

/** One server's view of the media: volumes on the same medium that share it alike have one between them. */
export class Media {
  readonly #server: ServerId;
  readonly #clock: Clock;
  readonly #made = new Map<string, Medium>();

  constructor(server: ServerId, clock: Clock) {
    this.#server = server;
    this.#clock = clock;
  }

  of(volume: VolumeConfig): Medium {
    const { sharing } = volume;
    const key = `${sharing} ${volume.medium.name}`;
    const medium = this.#made.get(key) ?? this.#make(volume, sharing);
    this.#made.set(key, medium);
    return medium;
  }

  #make({ name, medium: { driver, path } }: VolumeConfig, sharing: Sharing): Medium {
    const common = { server: this.#server, sharing, clock: this.#clock };
    switch (driver) {
      case 'directory':
        return new DirectoryMedium({ directory: path, ...common });
      case 'image':
        return new ImageMedium({ path, volume: name as VolumeName, ...common });
    }
  }
}
