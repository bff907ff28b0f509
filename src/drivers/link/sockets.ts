/**
 * The seam between the link and its transport: how a connection is made and taken. TCP here; TLS is another
 * `SocketMaker` around the same link, for the link asks no more of a socket than what both have.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Pieces } from '../../wire/pieces.ts';
import { PiecesSender } from '../linux/send-pieces.ts';

/** Where one end of a path listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface SocketMaker {
  /** Begins to connect; `ready` is called once bytes can be exchanged, unless the socket fails first. */
  connect(to: Address, ready: () => void): Socket;
  /** A server, not yet listening, that hands over each connection once bytes can be exchanged. */
  server(accept: (socket: Socket) => void): Server;
  /**
   * Hands the pieces to the kernel at once, without the socket's queue, which is empty; returns how many bytes it took.
   * Left out where bytes do not go to the kernel as they are.
   */
  readonly direct?: (socket: Socket, pieces: Pieces) => number;
}

/** Packets leave at once, and a host that went away without a word is found in the end even by an idle socket. */
const OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 1_000 } as const;

export const tcpSockets: SocketMaker = {
  connect: (to, ready) => connect({ ...OPTIONS, host: to.host, port: to.port }, ready),
  server: (accept) => createServer(OPTIONS, accept),
  direct: (socket, pieces) => {
    const fd = descriptorOf(socket);
    return fd === null ? 0 : (sender ??= new PiecesSender()).send(fd, pieces);
  },
};

let sender: PiecesSender | null = null;

/** The descriptor of a connected socket; null when it has none any more, or Node keeps it elsewhere. */
function descriptorOf(socket: Socket): number | null {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return null;
  return typeof handle.fd === 'number' && handle.fd >= 0 ? handle.fd : null;
}

/** host:port, with brackets around an IPv6 address. */
export function addressText(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
