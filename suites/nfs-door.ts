/** A door for NFS with a scripted program behind it, for the tests of the door. */
import type { Epoch, VolumeName } from '../src/base/names.ts';
import type { Fault } from '../src/base/fault.ts';
import { NfsDoors } from '../src/front/nfs/doors.ts';
import { DEFAULT_NFS_LIMITS, type NfsLimits } from '../src/front/nfs/limits.ts';
import type { PortmapperAddress } from '../src/front/nfs/portmapper.ts';
import type { NfsExport } from '../src/front/nfs/program.ts';
import type { VolumeService } from '../src/ports/service.ts';
import { NfsClient, type NfsClientOptions } from './nfs-client.ts';
import { ScriptedProgram } from './nfs-program.ts';

export const VOLUME = 'files' as VolumeName;

/** The program is scripted: nobody comes to the service. */
const NO_SERVICE: VolumeService = {
  maxRequestBytes: 1 << 20,
  sizeBytes: () => 0,
  pending: () => null,
  submit: () => {
    throw new Error('a scripted program asks for nothing');
  },
};

export interface Line {
  readonly event: string;
  readonly fields: Readonly<Record<string, string | number | boolean | null>>;
}

export class TestDoor {
  readonly program = new ScriptedProgram();
  readonly lines: Line[] = [];
  readonly doors: NfsDoors;
  readonly #clients: NfsClient[] = [];

  constructor(
    exported: Partial<NfsExport> = {},
    limits: Partial<NfsLimits> = {},
    portmapper: PortmapperAddress | null = null,
  ) {
    const whole: NfsExport = {
      address: { host: '127.0.0.1', port: 0 },
      readOnly: false,
      squash: 'root',
      anonUid: 65_534,
      anonGid: 65_534,
      clients: [],
      portmapper: false,
      ...exported,
    };
    this.doors = new NfsDoors({
      exports: new Map([[VOLUME, whole]]),
      program: () => this.program,
      log: (event, fields) => void this.lines.push({ event, fields }),
      limits: { ...DEFAULT_NFS_LIMITS, ...limits },
      ...(portmapper === null ? {} : { portmapper }),
    });
  }

  /** Opens the door; resolves with the fault, or null when clients can connect. */
  open(): Promise<Fault | null> {
    return new Promise((resolve) => this.doors.open(VOLUME, 1 as Epoch, NO_SERVICE, resolve));
  }

  get port(): number {
    const port = this.doors.port(VOLUME);
    if (port === null) throw new Error('the door is not open');
    return port;
  }

  async connect(options: NfsClientOptions = {}): Promise<NfsClient> {
    const client = await NfsClient.connect(this.port, options);
    this.#clients.push(client);
    return client;
  }

  hold(): Promise<void> {
    return new Promise((resolve) => this.doors.hold(VOLUME, resolve));
  }

  /** Lines of one event. */
  told(event: string): readonly Line[] {
    return this.lines.filter((line) => line.event === event);
  }

  close(): void {
    this.doors.close(VOLUME, 'the test is over');
    for (const client of this.#clients) client.destroy();
  }
}
