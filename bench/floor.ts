/**
 * The floor: the least that mirroring over NBD costs in Node. Two processes; the front one stores each write in RAM,
 * passes its bytes on, and answers once the rear one has said that it stored them too. With a journal file each of them
 * also has the bytes on disk first, synced, all that waited in one write. Nothing is checked, resent or recovered: no
 * server could be less and still mirror, so the benchmark divides by it.
 *
 *     node dist/bench/floor.js rear PORT [JOURNAL]
 *     node dist/bench/floor.js front PORT REAR_PORT [JOURNAL]
 *
 * The rear one takes the writes as the client sent them (NBD requests) and says with one byte for each that it has them.
 */
import { constants, closeSync, fsyncSync, openSync, writeSync, writev } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';

const HOST = '127.0.0.1';
const DISK_BYTES = 1 << 30;
const JOURNAL_BYTES = 256 << 20;
const MOST_PIECES = 1_000;
const HEAD_BYTES = 28;
const REPLY_BYTES = 16;
const READ = 0;
const WRITE = 1;
const DISCONNECT = 2;

// Every page is touched now, so that none has to be found while something is measured.
const disk = Buffer.alloc(DISK_BYTES, 1);

/** A ring file: what waits while one write is on its way goes with the next. */
class Ring {
  /** Told how many more writes are on disk; the connection that is open sets it. */
  stored: (writes: number) => void = () => {};
  readonly #fd: number;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #writes = 0;
  #at = 0;
  #busy = false;

  constructor(file: string) {
    const piece = Buffer.alloc(1 << 20);
    const made = openSync(file, 'w');
    for (let at = 0; at < JOURNAL_BYTES; at += piece.length) writeSync(made, piece, 0, piece.length, at);
    fsyncSync(made);
    closeSync(made);
    this.#fd = openSync(file, constants.O_RDWR | constants.O_DSYNC);
  }

  add(pieces: readonly Buffer[], writes: number): void {
    for (const piece of pieces) {
      this.#pieces.push(piece);
      this.#bytes += piece.length;
    }
    this.#writes += writes;
    if (!this.#busy && this.#bytes > 0) this.#write();
  }

  #write(): void {
    const writes = this.#writes;
    const pieces = this.#pieces.length > MOST_PIECES ? [Buffer.concat(this.#pieces)] : this.#pieces;
    if (this.#at + this.#bytes > JOURNAL_BYTES) this.#at = 0;
    const at = this.#at;
    this.#at += this.#bytes;
    this.#pieces = [];
    this.#bytes = 0;
    this.#writes = 0;
    this.#busy = true;
    writev(this.#fd, pieces, at, (error) => {
      if (error !== null) throw error;
      this.#busy = false;
      if (this.#bytes > 0) this.#write();
      this.stored(writes);
    });
  }
}

/** One connection's requests: bytes in; replies go to `up` as soon as both sides have the writes. */
class Requests {
  readonly #up: Socket;
  readonly #down: Socket | null;
  readonly #ring: Ring | null;
  readonly #front: boolean;
  /** Handles of writes that are not answered, as pairs of halves. */
  #handles: number[] = [];
  #here = 0;
  #there = 0;
  readonly #head = Buffer.alloc(HEAD_BYTES);
  #headFilled = 0;
  #left = 0;
  #offset = 0;
  #high = 0;
  #low = 0;

  constructor(up: Socket, down: Socket | null, ring: Ring | null, front: boolean) {
    this.#up = up;
    this.#down = down;
    this.#front = front;
    this.#ring = ring;
    if (ring !== null) ring.stored = (writes) => this.#stored(writes);
    down?.on('data', (said: Buffer) => {
      this.#there += said.length;
      this.#answer();
    });
  }

  #stored(writes: number): void {
    this.#here += writes;
    this.#answer();
  }

  take(chunk: Buffer): void {
    const pieces: Buffer[] = [];
    let from = -1;
    let writes = 0;
    let at = 0;
    this.#up.cork();
    while (at < chunk.length) {
      if (this.#left > 0) {
        if (from < 0) from = at;
        const bytes = Math.min(this.#left, chunk.length - at);
        chunk.copy(disk, this.#offset, at, at + bytes);
        at += bytes;
        this.#offset += bytes;
        this.#left -= bytes;
        if (this.#left > 0) break;
        this.#handles.push(this.#high, this.#low);
        writes += 1;
        continue;
      }
      const whole = this.#headFilled === 0 && chunk.length - at >= HEAD_BYTES;
      const begun = at;
      if (!whole) {
        if (from >= 0) pieces.push(chunk.subarray(from, at));
        from = -1;
        const bytes = Math.min(HEAD_BYTES - this.#headFilled, chunk.length - at);
        chunk.copy(this.#head, this.#headFilled, at, at + bytes);
        this.#headFilled += bytes;
        at += bytes;
        if (this.#headFilled < HEAD_BYTES) break;
        this.#headFilled = 0;
      } else at += HEAD_BYTES;
      const isWrite = this.#request(whole ? chunk : this.#head, whole ? begun : 0);
      if (isWrite && !whole) pieces.push(Buffer.from(this.#head));
      if (isWrite && whole && from < 0) from = begun;
      if (!isWrite && whole && from >= 0) {
        pieces.push(chunk.subarray(from, begun));
        from = -1;
      }
    }
    if (from >= 0) pieces.push(chunk.subarray(from, at));
    if (this.#down !== null && pieces.length > 0) {
      this.#down.cork();
      for (const piece of pieces) this.#down.write(piece);
      this.#down.uncork();
    }
    if (this.#ring === null) this.#stored(writes);
    else this.#ring.add(pieces, writes);
    this.#up.uncork();
  }

  /** True for a write, whose data follow. */
  #request(bytes: Buffer, at: number): boolean {
    const type = bytes.readUInt16BE(at + 6);
    const length = bytes.readUInt32BE(at + 24);
    this.#high = bytes.readUInt32BE(at + 8);
    this.#low = bytes.readUInt32BE(at + 12);
    this.#offset = bytes.readUInt32BE(at + 16) * 2 ** 32 + bytes.readUInt32BE(at + 20);
    if (type === WRITE) {
      this.#left = length;
      return true;
    }
    if (type === DISCONNECT) this.#up.end();
    else {
      const reply = Buffer.allocUnsafe(REPLY_BYTES);
      putReply(reply, 0, this.#high, this.#low);
      this.#up.write(reply);
      if (type === READ) this.#up.write(disk.subarray(this.#offset, this.#offset + length));
    }
    return false;
  }

  #answer(): void {
    const count = Math.min(this.#handles.length / 2, this.#here, this.#down === null ? Infinity : this.#there);
    if (count === 0) return;
    this.#here -= count;
    this.#there -= count;
    const handles = this.#handles.splice(0, 2 * count);
    if (!this.#front) {
      this.#up.write(Buffer.alloc(count));
      return;
    }
    const replies = Buffer.allocUnsafe(count * REPLY_BYTES);
    for (let i = 0; i < count; i += 1) putReply(replies, i * REPLY_BYTES, handles[2 * i] ?? 0, handles[2 * i + 1] ?? 0);
    this.#up.write(replies);
  }
}

function putReply(into: Buffer, at: number, high: number, low: number): void {
  into.writeUInt32BE(0x67446698, at);
  into.writeUInt32BE(0, at + 4);
  into.writeUInt32BE(high, at + 8);
  into.writeUInt32BE(low, at + 12);
}

/** Just enough of the handshake: GO for any name. */
function shakeHands(socket: Socket, opened: (rest: Buffer) => void): void {
  let have = Buffer.alloc(0);
  let flags = false;
  const reply = (type: number, body: Buffer): void => {
    const head = Buffer.alloc(20);
    head.writeBigUInt64BE(0x3e889045565a9n, 0);
    head.writeUInt32BE(7, 8);
    head.writeUInt32BE(type, 12);
    head.writeUInt32BE(body.length, 16);
    socket.write(Buffer.concat([head, body]));
  };
  const more = (chunk: Buffer): void => {
    have = Buffer.concat([have, chunk]);
    if (!flags && have.length >= 4) {
      flags = true;
      have = have.subarray(4);
    }
    if (!flags || have.length < 16) return;
    const bytes = 16 + have.readUInt32BE(12);
    if (have.length < bytes) return;
    if (have.readUInt32BE(8) !== 7) {
      socket.destroy();
      return;
    }
    const info = Buffer.alloc(12);
    info.writeBigUInt64BE(BigInt(DISK_BYTES), 2);
    // has flags, sends flush, sends FUA
    info.writeUInt16BE(1 | 4 | 8, 10);
    reply(3, info);
    reply(1, Buffer.alloc(0));
    socket.off('data', more);
    opened(have.subarray(bytes));
  };
  socket.on('data', more);
  socket.write(Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), Buffer.from([0, 3])]));
}

function serve(role: string, port: number, args: readonly string[]): void {
  const front = role === 'front';
  const down = front ? connect({ host: HOST, port: Number(args[0]), noDelay: true }) : null;
  const journal = front ? args[1] : args[0];
  const ring = journal === undefined ? null : new Ring(journal);
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    down?.removeAllListeners('data');
    const begin = (rest: Buffer): void => {
      const requests = new Requests(socket, down, ring, front);
      socket.on('data', (chunk: Buffer) => requests.take(chunk));
      if (rest.length > 0) requests.take(rest);
    };
    if (front) shakeHands(socket, begin);
    else begin(Buffer.alloc(0));
  });
  server.listen(port, HOST, () => process.stdout.write('ready\n'));
}

const [role = '', port = '', ...args] = process.argv.slice(2);
serve(role, Number(port), args);
