/**
 * Where a socket's bytes arrive: one behind the other in slabs, so that what a read ends within goes on in the same
 * memory with the next one, and a parser that keeps slices of it copies nothing. What nobody kept is read over again.
 *
 * Node can read into memory of the caller's (the `onread` option of net.Socket), but offers that for sockets one makes,
 * not for those that a server accepts. The socket's own fields are set here instead, if they are what they were in Node
 * 20 to 24; else the bytes come as chunks of their own, by `data` events, and everything works the same, slower.
 */
import { newSlab, SLAB_BYTES } from './slab.ts';

/** A read is offered so much room at least: what one read of Node's own would take. */
const ROOM_BYTES = 64 << 10;

/** What a socket has to have; Node's own, as far as it is used here. */
export interface InletSocket {
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
}

/** Takes what was received; true when it, or a part of it, is kept. */
export type Receive = (chunk: Buffer) => boolean;

/** The parts of a socket that `onread` sets. */
interface Internals {
  readonly handle: { useUserBuffer(into: Buffer): void };
  readonly buffer: symbol;
  readonly next: symbol;
  readonly callback: symbol;
}

/**
 * Begins to hand over what the socket receives, at most `mostBytes` at a time. The socket has been made and has not been
 * read from.
 */
export function receiveFrom(socket: InletSocket, receive: Receive, mostBytes: number = SLAB_BYTES): void {
  // Without it the socket would not flow, and not end either; chunks come by it where there is no inlet.
  const internals = internalsOf(socket);
  socket.on('data', receive);
  if (internals !== null) begin(socket, internals, mostBytes, receive);
}

function internalsOf(socket: object): Internals | null {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null || !('useUserBuffer' in handle)) return null;
  if (typeof handle.useUserBuffer !== 'function') return null;
  const find = (name: string): symbol | undefined =>
    Object.getOwnPropertySymbols(socket).find(({ description }) => description === name);
  const buffer = find('kBuffer');
  const next = find('kBufferGen');
  const callback = find('kBufferCb');
  if (buffer === undefined || next === undefined || callback === undefined) return null;
  return { handle: handle as Internals['handle'], buffer, next, callback };
}

function begin(socket: object, internals: Internals, mostBytes: number, receive: Receive): void {
  let slab = newSlab(SLAB_BYTES);
  let at = 0;
  const room = (): Buffer => {
    if (slab.length - at < ROOM_BYTES) {
      slab = newSlab(SLAB_BYTES);
      at = 0;
    }
    return slab.subarray(at, at + mostBytes);
  };
  const received = (count: number): boolean => {
    if (receive(slab.subarray(at, at + count))) at += count;
    return true;
  };
  const first = room();
  Reflect.set(socket, internals.buffer, first);
  Reflect.set(socket, internals.next, room);
  Reflect.set(socket, internals.callback, received);
  internals.handle.useUserBuffer(first);
}
