/**
 * The seam between the link and its transport: how a connection is made and taken. TCP here; TLS is another
 * `SocketMaker` around the same link, for the link asks no more of a socket than what both have.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';

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
}

/** Packets leave at once, and a host that went away without a word is found in the end even by an idle socket. */
const OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 1_000 } as const;

export const tcpSockets: SocketMaker = {
  connect: (to, ready) => connect({ ...OPTIONS, host: to.host, port: to.port }, ready),
  server: (accept) => createServer(OPTIONS, accept),
};

/** host:port, with brackets around an IPv6 address. */
export function addressText(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
