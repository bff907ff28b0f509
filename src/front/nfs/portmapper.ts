/**
 * Registration with the port mapper of this host, for clients that do not name ports. It is a convenience: that there is
 * no port mapper, or that it says no, is logged and changes nothing else. A mapping that a dead server left behind is
 * replaced; on leaving, only one's own is taken back.
 */
import net from 'node:net';
import { MOUNT_PROGRAM, MOUNT_VERSION } from '../../wire/mount.ts';
import { NFS_PROGRAM, NFS_VERSION } from '../../wire/nfs/types.ts';
import {
  encodePortmapCall,
  type Mapping,
  PORTMAP_PORT,
  type PortmapCall,
  PortmapProcedure,
  readPortmapAnswer,
} from '../../wire/portmap.ts';
import { readReply } from '../../wire/rpc.ts';
import { RecordReader } from '../../wire/rpc-record.ts';
import { XdrReader } from '../../wire/xdr.ts';
import type { NfsLog } from './program.ts';

/** The whole conversation takes at most so long, ms. */
const DEADLINE_MS = 3_000;
/** More than any answer of a port mapper to these calls. */
const MAX_ANSWER_BYTES = 4096;
/** No payloads here. */
const NO_PROCEDURE = 0xffff_ffff;

export interface PortmapperAddress {
  readonly host: string;
  readonly port: number;
}

/** Port mappers let programs of their own host register, over the loopback interface. */
export const LOCAL_PORTMAPPER: PortmapperAddress = { host: '127.0.0.1', port: PORTMAP_PORT };

const PROGRAMS = [
  { program: NFS_PROGRAM, version: NFS_VERSION },
  { program: MOUNT_PROGRAM, version: MOUNT_VERSION },
];

/** The registration of one listening port. */
export class PortRegistration {
  readonly #port: number;
  readonly #at: PortmapperAddress;
  readonly #log: NfsLog;
  readonly #volume: string;
  /** One conversation after the other. */
  #last: Promise<void> = Promise.resolve();

  constructor(volume: string, port: number, at: PortmapperAddress, log: NfsLog) {
    this.#volume = volume;
    this.#port = port;
    this.#at = at;
    this.#log = log;
  }

  /** Registers both programs; resolves when that is done or has failed. */
  register(): Promise<void> {
    return this.#next('registered', async (talk) => {
      for (const { program, version } of PROGRAMS) {
        const mapping = { program, version, port: this.#port };
        const old = await talk.call(PortmapProcedure.getport, mapping);
        if (old === this.#port) continue;
        if (old !== 0) await talk.call(PortmapProcedure.unset, mapping);
        const set = await talk.call(PortmapProcedure.set, mapping);
        if (set !== 1) throw new Error(`program ${program} was refused, which is registered at port ${old}`);
      }
    });
  }

  /** Takes back what is still one's own; resolves when that is done or has failed. */
  unregister(): Promise<void> {
    return this.#next('unregistered', async (talk) => {
      for (const { program, version } of PROGRAMS) {
        const mapping = { program, version, port: this.#port };
        const now = await talk.call(PortmapProcedure.getport, mapping);
        if (now === this.#port) await talk.call(PortmapProcedure.unset, mapping);
      }
    });
  }

  #next(what: string, work: (talk: Conversation) => Promise<void>): Promise<void> {
    this.#last = this.#last.then(() => this.#run(what, work));
    return this.#last;
  }

  async #run(what: string, work: (talk: Conversation) => Promise<void>): Promise<void> {
    const talk = new Conversation(this.#at);
    const fields = { volume: this.#volume, port: this.#port };
    try {
      await work(talk);
      this.#log('nfs.portmap', { ...fields, done: what });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#log('nfs.portmap', { ...fields, done: `not ${what}`, reason });
    } finally {
      talk.end();
    }
  }
}

/** One connection to the port mapper: a call, an answer, the next call. */
class Conversation {
  readonly #socket: net.Socket;
  readonly #reader = new RecordReader(MAX_ANSWER_BYTES, NO_PROCEDURE);
  #xid = 1;
  #waiting: { resolve(word: number): void; reject(error: Error): void } | null = null;
  #failed: Error | null = null;

  constructor({ host, port }: PortmapperAddress) {
    this.#socket = net.connect({ host, port, timeout: DEADLINE_MS });
    this.#socket.on('data', (piece: Buffer) => this.#received(piece));
    this.#socket.on('timeout', () => this.#fail(new Error('the port mapper does not answer')));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the port mapper closed the connection')));
  }

  call(procedure: PortmapCall, mapping: Mapping): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#failed !== null) return reject(this.#failed);
      this.#waiting = { resolve, reject };
      this.#socket.write(encodePortmapCall(this.#xid, procedure, mapping));
    });
  }

  end(): void {
    this.#socket.destroy();
  }

  #received(piece: Buffer): void {
    this.#reader.push(piece);
    for (let verdict = this.#reader.next(); verdict !== 'starved'; verdict = this.#reader.next()) {
      if (verdict === 'garbage') return this.#fail(new Error('the port mapper answered with garbage'));
      const xdr = new XdrReader().reset(this.#reader.bytes, this.#reader.from, this.#reader.to);
      const header = readReply(xdr);
      const word = header?.kind === 'success' && header.xid === this.#xid ? readPortmapAnswer(xdr) : null;
      if (word === null) return this.#fail(new Error(`the port mapper answered: ${header?.kind ?? 'garbage'}`));
      this.#xid++;
      const waiting = this.#waiting;
      this.#waiting = null;
      waiting?.resolve(word);
    }
  }

  #fail(error: Error): void {
    this.#failed ??= error;
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#socket.destroy();
    waiting?.reject(error);
  }
}
