/**
 * A mounted files volume as a program sees one: what was not answered is sent again, the same, over a new connection when
 * the old one is lost, as a hard mount does.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type Answer, type Call, NfsError, nfsCall, NfsSession, Procedure, Words } from './nfs-client.ts';

/** Pause between two attempts to connect. */
const RECONNECT_MS = 10;
/** An answer that takes longer than this is the demo's failure. */
const PATIENCE_MS = 60_000;
/** Of one READ and WRITE. */
const PIECE_BYTES = 64 << 10;
const FILE_SYNC = 2;
const GUARDED = 1;

/** One export, reached patiently; every name lies in its root directory. */
export class Share {
  readonly #host: string;
  readonly #port: number;
  readonly #path: string;
  #session: Promise<NfsSession> | null = null;
  #root: Buffer | null = null;
  #closed = false;
  #longestMs = 0;

  constructor(host: string, port: number, path: string) {
    this.#host = host;
    this.#port = port;
    this.#path = path;
  }

  /** The longest wait for an answer since this was last asked, ms. */
  takeLongestMs(): number {
    const longest = this.#longestMs;
    this.#longestMs = 0;
    return longest;
  }

  /** Makes a file that must not be there yet; its handle. */
  async create(name: string): Promise<Buffer> {
    // Mode 0644, and nothing else of sattr3.
    const how = new Words().uint(GUARDED).uint(1, 0o644).uint(0, 0, 0, 0, 0);
    const answer = await this.#ask(Procedure.create, await this.#entry(name, how));
    return answer.uint() === 1 ? answer.opaque() : this.lookup(name);
  }

  async lookup(name: string): Promise<Buffer> {
    return (await this.#ask(Procedure.lookup, await this.#entry(name))).opaque();
  }

  /** Writes all of `data` from the file's beginning on. */
  async write(handle: Buffer, data: Buffer): Promise<void> {
    for (let at = 0; at < data.length; at += PIECE_BYTES) {
      const piece = data.subarray(at, at + PIECE_BYTES);
      const args = new Words().opaque(handle).hyper(BigInt(at)).uint(piece.length, FILE_SYNC).opaque(piece);
      const answer = await this.#ask(Procedure.write, args);
      answer.wcc();
      if (answer.uint() !== piece.length) throw new Error('the server wrote less than it was given');
    }
  }

  /** The whole file. */
  async read(handle: Buffer): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (let at = 0, end = false; !end;) {
      const args = new Words().opaque(handle).hyper(BigInt(at)).uint(PIECE_BYTES);
      const answer = await this.#ask(Procedure.read, args);
      answer.attributes();
      answer.uint();
      end = answer.uint() === 1;
      const piece = answer.opaque();
      at += piece.length;
      pieces.push(piece);
    }
    return Buffer.concat(pieces);
  }

  async rename(from: string, to: string): Promise<void> {
    const target = new Words().opaque(await this.#mounted()).opaque(to);
    await this.#ask(Procedure.rename, await this.#entry(from, target));
  }

  async remove(name: string): Promise<void> {
    await this.#ask(Procedure.remove, await this.#entry(name));
  }

  /** Every name but `.` and `..`. */
  async list(): Promise<readonly string[]> {
    const names: string[] = [];
    let [cookie, verifier] = [0n, 0n];
    for (let end = false; !end;) {
      const args = new Words()
        .opaque(await this.#mounted())
        .hyper(cookie)
        .hyper(verifier)
        .uint(PIECE_BYTES);
      const answer = await this.#ask(Procedure.readdir, args);
      answer.attributes();
      verifier = answer.hyper();
      while (answer.uint() === 1) {
        answer.hyper();
        const name = answer.opaque().toString('utf8');
        cookie = answer.hyper();
        if (name !== '.' && name !== '..') names.push(name);
      }
      end = answer.uint() === 1;
    }
    return names;
  }

  close(): void {
    this.#closed = true;
    this.#session?.then((session) => session.close()).catch(() => undefined);
  }

  /** diropargs3 in the root directory, and what follows it. */
  async #entry(name: string, more?: Words): Promise<Words> {
    const words = new Words().opaque(await this.#mounted()).opaque(name);
    return more === undefined ? words : words.raw(more.bytes);
  }

  /** The root's handle lives as long as the volume: it is asked for once. */
  async #mounted(): Promise<Buffer> {
    this.#root ??= await this.#patiently((session) => session.mount(this.#path));
    return this.#root;
  }

  /** One call, sent until it is answered; what follows a good status. */
  async #ask(procedure: number, args: Words): Promise<Answer> {
    const call: Call = nfsCall(procedure, args);
    const startedMs = performance.now();
    const answer = await this.#patiently((session) => session.send(call));
    this.#longestMs = Math.max(this.#longestMs, performance.now() - startedMs);
    const status = answer.uint();
    if (status !== 0) throw new NfsError(status);
    return answer;
  }

  async #patiently<T>(use: (session: NfsSession) => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    for (;;) {
      this.#session ??= NfsSession.open(this.#host, this.#port);
      try {
        return await use(await this.#session);
      } catch (error) {
        if (this.#closed || error instanceof NfsError || performance.now() - startedMs > PATIENCE_MS) throw error;
        this.#session = null;
        await pause(RECONNECT_MS);
      }
    }
  }
}
