/**
 * The replies of one connection on their way out. What is put in one turn leaves in one write: headers and small data
 * are written one behind the other into shared pages, large data are passed on by reference.
 */
import type { Socket } from 'node:net';

/** Headers of a thousand small replies, or a dozen 4 KiB reads. */
const PAGE_BYTES = 64 << 10;
/** Data up to this size are copied into the page: cheaper than one more element of the gathered write. */
const COPY_BYTES = 8 << 10;
/** Shared by all zeroes ever sent; never written to. */
const ZEROES = Buffer.alloc(1 << 20);

export class ReplyWriter {
  /** Where to put the next header, after `reserve`; whoever writes there moves `at` on. */
  page = Buffer.allocUnsafeSlow(PAGE_BYTES);
  at = 0;
  /** What of the page has been handed on already. */
  #from = 0;
  readonly #socket: Socket;
  readonly #segments: Buffer[] = [];
  #segmentBytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Bytes that the client has not taken yet: in this turn's batch and in the socket. */
  get backlogBytes(): number {
    return this.#segmentBytes + this.at - this.#from + this.#socket.writableLength;
  }

  /** Makes `bytes` of room at `page[at]`; `bytes` is at most 64 KiB. */
  reserve(bytes: number): void {
    if (this.page.length - this.at >= bytes) return;
    this.#cut();
    this.page = Buffer.allocUnsafeSlow(PAGE_BYTES);
    this.at = 0;
    this.#from = 0;
  }

  /** Data of a reply, or a whole one. Large ones are not copied and must not change any more. */
  data(bytes: Buffer): void {
    if (bytes.length <= COPY_BYTES) {
      this.reserve(bytes.length);
      bytes.copy(this.page, this.at);
      this.at += bytes.length;
    } else this.#refer(bytes);
  }

  /** `count` zeroes, as data of a reply. */
  zeroes(count: number): void {
    if (count <= COPY_BYTES) {
      this.reserve(count);
      this.page.fill(0, this.at, this.at + count);
      this.at += count;
      return;
    }
    for (let left = count; left > 0; left -= ZEROES.length) {
      this.#refer(left < ZEROES.length ? ZEROES.subarray(0, left) : ZEROES);
    }
  }

  /** Hands everything to the socket, in one write; `sent`, if any, is called when the socket has passed it on. */
  flush(sent: (() => void) | null): void {
    this.#cut();
    const segments = this.#segments;
    const last = segments.length - 1;
    if (last < 0) return;
    const socket = this.#socket;
    if (last > 0) socket.cork();
    for (let i = 0; i < last; i++) socket.write(segments[i]!);
    if (sent === null) socket.write(segments[last]!);
    else socket.write(segments[last]!, sent);
    if (last > 0) socket.uncork();
    segments.length = 0;
    this.#segmentBytes = 0;
  }

  /** What was put into the page since the last cut becomes a segment. */
  #cut(): void {
    if (this.at === this.#from) return;
    const segment = this.page.subarray(this.#from, this.at);
    this.#segments.push(segment);
    this.#segmentBytes += segment.length;
    this.#from = this.at;
  }

  #refer(bytes: Buffer): void {
    this.#cut();
    this.#segments.push(bytes);
    this.#segmentBytes += bytes.length;
  }
}
