/** Short words for tests that speak NFS themselves, and a client that comes back to whoever serves the volume. */
import { setTimeout as pause } from 'node:timers/promises';
import { NfsClient, NfsConnectionLost, nextXid } from '../../suites/nfs-client.ts';
import type { ResultOf } from '../../src/wire/nfs/results.ts';
import { decodeResult, encodeArguments, procedureNumber } from '../../src/wire/nfs/table.ts';
import {
  type ArgumentsOf,
  NFS_PROGRAM,
  NFS_VERSION,
  type NfsArguments,
  type ProcedureName,
  type Sattr3,
} from '../../src/wire/nfs/types.ts';
import type { Volume } from '../cluster-config.ts';

export const NOTHING: Sattr3 = { mode: null, uid: null, gid: null, sizeBytes: null, atime: null, mtime: null };

export const name = (text: string): Buffer => Buffer.from(text);

const RECONNECT_MS = 10;
const PATIENCE_MS = 60_000;

/** A client of one volume that sends what was not answered again, over a new connection from a new port, like a hard mount. */
export class PatientClient {
  readonly root: Buffer;
  readonly #volume: Volume;
  #client: Promise<NfsClient>;
  #connections = 1;

  private constructor(volume: Volume, client: NfsClient, root: Buffer) {
    this.#volume = volume;
    this.#client = Promise.resolve(client);
    this.root = root;
  }

  static async mount(volume: Volume): Promise<PatientClient> {
    const client = await NfsClient.connect(volume.port);
    return new PatientClient(volume, client, await client.root(`/${volume.name}`));
  }

  /** Connections so far. */
  get connections(): number {
    return this.#connections;
  }

  async call<P extends ProcedureName>(args: ArgumentsOf<P>): Promise<ResultOf<P>> {
    const bytes = await this.bytes(args);
    const result = decodeResult(args.procedure as P, bytes);
    if (result === null) throw new Error(`the result of ${args.procedure} is not valid: ${bytes.toString('hex')}`);
    return result;
  }

  /** The result's bytes, under one xid however often it is sent. */
  async bytes(args: NfsArguments, xid = nextXid()): Promise<Buffer> {
    const startedMs = performance.now();
    const encoded = encodeArguments(args);
    for (;;) {
      const attempt = this.#client;
      try {
        const client = await attempt;
        return await client.result(NFS_PROGRAM, NFS_VERSION, procedureNumber(args.procedure), encoded, { xid });
      } catch (error) {
        const isOver = performance.now() - startedMs > PATIENCE_MS;
        const code = (error as NodeJS.ErrnoException).code;
        if (isOver || !(error instanceof NfsConnectionLost || code === 'ECONNREFUSED' || code === 'ECONNRESET'))
          throw error;
        if (this.#client === attempt) this.#client = this.#connect();
      }
    }
  }

  async #connect(): Promise<NfsClient> {
    await pause(RECONNECT_MS);
    this.#connections += 1;
    return NfsClient.connect(this.#volume.port);
  }

  /** Drops the connection, as if the network had. */
  async drop(): Promise<void> {
    (await this.#client.catch(() => null))?.destroy();
  }
}
