/**
 * An event of the kernel's (eventfd(2)) that the event loop waits for beside its sockets: whoever is done with something
 * in the kernel wakes it without a thread in between.
 *
 * Node has no word for such a descriptor. Its handle of a pipe takes any that can be polled and read, and that is what an
 * event is read with. Where the handle cannot be had, there is none.
 */
import { Socket } from 'node:net';
import { foreignLibrary } from './libc.ts';

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;
/** An event is a counter of 64 bits. */
const COUNTER_BYTES = 8;

/** The handle of a pipe, as far as it is used here. */
interface PipeHandle {
  open(fd: number): number;
}
type PipeMaker = new (kind: number) => PipeHandle;
/** `SOCKET` of Node's PipeConstants: a pipe that is read or written. */
const ORDINARY_PIPE = 0;

/** A descriptor that the kernel adds to, and somebody who is told when it did. */
export interface EventFd {
  readonly fd: number;
  /** While something is awaited the process does not end by itself. */
  await(something: boolean): void;
  close(): void;
}

/** Calls `happened` in a turn of its own after the kernel has added to the event, once or several times. Null: no such thing here. */
export function openEventFd(happened: () => void): EventFd | null {
  const maker = pipeMaker();
  if (maker === null) return null;
  const eventfd = foreignLibrary().func('int eventfd(unsigned int count, int flags)') as (
    c: number,
    f: number,
  ) => number;
  const fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return null;
  const handle = new maker(ORDINARY_PIPE);
  if (handle.open(fd) !== 0) return null;
  const options = {
    handle,
    readable: true,
    writable: false,
    onread: { buffer: Buffer.alloc(COUNTER_BYTES), callback: () => (happened(), true) },
  };
  const socket = new Socket(options);
  socket.unref();
  return {
    fd,
    await: (something) => void (something ? socket.ref() : socket.unref()),
    close: () => void socket.destroy(),
  };
}

/** Node offers the constructor to whoever asks for it by name, for as long as it does. */
function pipeMaker(): PipeMaker | null {
  try {
    const binding: unknown = Reflect.get(process, 'binding');
    if (typeof binding !== 'function') return null;
    const pipes: unknown = Reflect.apply(binding, process, ['pipe_wrap']);
    const maker: unknown = typeof pipes === 'object' && pipes !== null ? Reflect.get(pipes, 'Pipe') : null;
    return typeof maker === 'function' ? (maker as PipeMaker) : null;
  } catch {
    return null;
  }
}
