/**
 * A socket with one listener at a time: first a handshake, then a session. What goes wrong is told once, in the words of
 * the port; after `close` nothing is told any more.
 */
import type { Socket } from 'node:net';
import { receiveFrom } from '../../base/inlet.ts';
import type { LinkEvents } from '../../ports/link.ts';
import type { Pieces } from '../../wire/pieces.ts';
import type { SocketMaker } from './sockets.ts';

/** A read takes so much at most: a frame of moderate size, whole. */
const READ_BYTES = 256 << 10;

/** Why a path is down, in the words of the port. */
export type DownReason = Parameters<LinkEvents['down']>[1];

export interface ConnectionUser {
  /** True when the chunk, or a part of it, is kept. */
  bytes(chunk: Buffer): boolean;
  /** The connection is over. Told once. */
  over(reason: DownReason, detail: string): void;
}

export class Connection {
  readonly socket: Socket;
  /** The far address; for the log. */
  readonly remote: string;
  user: ConnectionUser;
  readonly #direct: SocketMaker['direct'];
  #open = true;

  constructor(socket: Socket, remote: string, user: ConnectionUser, direct: SocketMaker['direct']) {
    this.socket = socket;
    this.user = user;
    this.#direct = direct;
    this.remote = remote;
    receiveFrom(socket, (chunk) => this.#open && this.user.bytes(chunk), READ_BYTES);
    // The first of these three to come tells; the peer's FIN is enough, nobody speaks in one direction only.
    socket.on('error', (error: NodeJS.ErrnoException) => this.#over(reasonOf(error), error.message));
    socket.on('end', () => this.#over('closed', 'the peer closed the connection'));
    socket.on('close', () => this.#over('closed', 'the connection closed'));
  }

  /**
   * Sends all pieces: as far as the kernel takes them at once, directly, and what is left behind what waits. True when
   * nothing is left: nobody refers to the pieces then.
   */
  send(pieces: Pieces): boolean {
    const { socket } = this;
    const taken = this.#direct === undefined || socket.writableLength > 0 ? 0 : this.#direct(socket, pieces);
    const left = pieces.behind(taken);
    if (left.length > 1) socket.cork();
    for (const part of left) socket.write(part);
    if (left.length > 1) socket.uncork();
    return left.length === 0;
  }

  /** Closes without a word. What the kernel has taken is still sent. */
  close(): void {
    this.#open = false;
    this.socket.destroy();
  }

  /** Closes once what is waiting was handed to the kernel, or when `destroy` is called on the socket. */
  finish(): void {
    this.#open = false;
    this.socket.end(() => this.socket.destroy());
  }

  #over(reason: DownReason, detail: string): void {
    if (!this.#open) return;
    this.close();
    this.user.over(reason, detail);
  }
}

/** What an error of a socket means. `refused`: the peer's host answered and nothing listens there. */
function reasonOf(error: NodeJS.ErrnoException): DownReason {
  switch (error.code) {
    case 'ECONNREFUSED':
      return 'refused';
    case 'ECONNRESET':
    case 'EPIPE':
      return 'closed';
    default:
      return 'unreachable';
  }
}
