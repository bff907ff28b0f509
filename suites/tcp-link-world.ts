/** Real TCP links on the loopback interface, for the tests of the driver: a pair of servers, and strangers by hand. */
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Fault } from '../src/base/fault.ts';
import type { Incarnation, ServerId } from '../src/base/names.ts';
import type { TcpLinkLimits } from '../src/drivers/link/context.ts';
import type { Address, SocketMaker } from '../src/drivers/link/sockets.ts';
import { TcpLink } from '../src/drivers/link/tcp-link.ts';
import { BootClock } from '../src/drivers/linux/boot-clock.ts';
import type {
  DialerIdentity,
  HandshakeSelf,
  HandshakeStep,
  Refusal,
  SessionTerms,
} from '../src/wire/link-conversation.ts';
import { type Frame, FrameReader, FrameWriter } from '../src/wire/link-frame.ts';
import { AcceptorHandshake, DialerHandshake } from '../src/wire/link-handshake.ts';
import { A, B, type LinkNode, type LinkWorld } from './link.ts';
import { until } from './until.ts';

export const clock = new BootClock();

/** Ports that are free now, below those that the system gives out by itself: nobody else takes them in the meantime. */
export async function freePorts(count: number): Promise<number[]> {
  const found: number[] = [];
  while (found.length < count) {
    const port = randomInt(20_000, 32_000);
    const server = createServer();
    const free = await new Promise<boolean>((settle) => {
      server.on('error', () => settle(false));
      server.listen(port, '127.0.0.1', () => settle(true));
    });
    if (!free || found.includes(port)) continue;
    await new Promise((closed) => server.close(closed));
    found.push(port);
  }
  return found;
}

export interface LogLine {
  readonly server: ServerId;
  readonly event: string;
  readonly fields: Readonly<Record<string, string | number | boolean | null>>;
}

export interface TcpWorldOptions {
  readonly limits?: Partial<TcpLinkLimits>;
  readonly sockets?: SocketMaker;
}

/** A world of two servers with two paths, whose keys, ports and log lines the test may see. */
export class TcpWorld implements LinkWorld {
  readonly key = randomBytes(32);
  readonly log: LogLine[] = [];
  readonly #ports: readonly number[];
  readonly #options: TcpWorldOptions;
  readonly #alive = new Map<ServerId, TcpLink>();
  readonly #others: { destroy(): void }[] = [];

  static async make(options: TcpWorldOptions = {}): Promise<TcpWorld> {
    return new TcpWorld(await freePorts(4), options);
  }

  private constructor(ports: readonly number[], options: TcpWorldOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  port(server: ServerId, path: number): number {
    return this.#ports[(server === A ? 0 : 2) + path]!;
  }

  addresses(server: ServerId): Address[] {
    return [0, 1].map((path) => ({ host: '127.0.0.1', port: this.port(server, path) }));
  }

  make(self: ServerId): LinkNode {
    const peer = self === A ? B : A;
    const incarnation = randomBytes(16).toString('hex') as Incarnation;
    const link = new TcpLink({
      self,
      incarnation,
      clusterId: 'test',
      key: this.key,
      clock,
      ...this.#options,
      listen: this.addresses(self),
      peers: new Map([[peer, { paths: this.addresses(peer) }]]),
      log: (_level, event, fields) =>
        this.log.push({
          server: self,
          event,
          fields,
        }),
    });
    this.#alive.set(self, link);
    return { link, incarnation };
  }

  kill(server: ServerId): Promise<void> {
    const link = this.#alive.get(server);
    this.#alive.delete(server);
    if (link === undefined || link.closed) return Promise.resolve();
    return new Promise((done) => link.close(done));
  }

  until(what: string, holds: () => boolean): Promise<void> {
    return until(what, holds);
  }

  /** Something else that ends with the world. */
  own<T extends { destroy(): void }>(what: T): T {
    this.#others.push(what);
    return what;
  }

  async end(): Promise<void> {
    for (const other of this.#others) other.destroy();
    await Promise.all([this.kill(A), this.kill(B)]);
  }

  /** The texts of one event's lines at one server. */
  lines(server: ServerId, event: string): string[] {
    return this.log
      .filter((one) => one.server === server && one.event === event)
      .map((one) => JSON.stringify(one.fields));
  }

  /** What a server says of itself in a handshake; the right thing, unless changed. */
  identity(server: ServerId, change: Partial<HandshakeSelf> = {}): HandshakeSelf {
    const incarnation = randomBytes(16).toString('hex') as Incarnation;
    const protocol = { minVersion: 1, maxVersion: 1, features: 0 };
    return { clusterId: 'test', server, incarnation, key: this.key, ...protocol, ...change };
  }
}

/** A peer driven by hand: it connects, shakes hands as it is told, and sends what it is told. */
export class HandPeer {
  readonly socket: Socket;
  /** All bytes received, but for those that the handshake took. */
  received: Buffer = Buffer.alloc(0);
  bytesReceived = 0;
  chunks = 0;
  closed = false;
  /** How the handshake ended; null while it has not. */
  outcome: Extract<HandshakeStep, { readonly kind: 'accepted' | 'refused' }> | Fault | null = null;
  /** Whether it says that it is ready, once it was accepted. */
  readies = true;
  #handshake: DialerHandshake | null = null;

  constructor(world: TcpWorld, to: ServerId, path = 0) {
    this.socket = world.own(connect({ host: '127.0.0.1', port: world.port(to, path), noDelay: true }));
    this.socket.on('error', () => {});
    this.socket.on('close', () => (this.closed = true));
    this.socket.on('data', (chunk) => this.#data(chunk));
  }

  /** Shakes hands; `outcome` tells how it went. */
  shake(self: HandshakeSelf, target: ServerId, path = 0, lastSession = '-'): void {
    this.#handshake = new DialerHandshake(self, target, path, lastSession, randomBytes(32));
    this.socket.write(this.#handshake.start);
  }

  async session(): Promise<{ terms: SessionTerms; writer: FrameWriter; reader: FrameReader }> {
    await until('the handshake is over', () => this.outcome !== null);
    const { outcome } = this;
    assert(outcome !== null && !(outcome instanceof Fault) && outcome.kind === 'accepted', JSON.stringify(outcome));
    const { terms } = outcome;
    const writer = new FrameWriter(terms.version, terms.sendCounter);
    return { terms, writer, reader: new FrameReader(terms.receiveCounter) };
  }

  #data(chunk: Buffer): void {
    this.bytesReceived += chunk.length;
    this.chunks += 1;
    const handshake = this.#handshake;
    if (handshake === null) {
      this.received = Buffer.concat([this.received, chunk]);
      return;
    }
    handshake.feed(chunk);
    for (;;) {
      const step = handshake.step();
      if (step instanceof Fault) this.outcome = step;
      else if (step.kind === 'send') {
        this.socket.write(step.bytes);
        continue;
      } else if (step.kind === 'accepted' || step.kind === 'refused') {
        if (step.kind === 'accepted' && this.readies) this.socket.write(step.ready);
        this.outcome = step;
        this.#handshake = null;
        this.received = handshake.rest();
      }
      return;
    }
  }
}

/** The frames that a hand-driven peer has received since its session began. */
export function framesOf(peer: HandPeer, reader: FrameReader): Frame[] {
  const found: Frame[] = [];
  reader.feed(peer.received);
  peer.received = Buffer.alloc(0);
  for (let frame = reader.next(); frame !== null; frame = reader.next()) {
    assert(!(frame instanceof Fault));
    found.push(frame);
  }
  return found;
}

/** A server driven by hand, at the address of one of the pair: takes what is dialed, answers as far as it is told. */
export class HandServer {
  /** Who has shown up so far, in order. */
  readonly dialers: DialerIdentity[] = [];
  /** Sessions that came about. */
  readonly sessions: SessionTerms[] = [];
  /** Connections that are open. */
  readonly sockets = new Set<Socket>();
  /** Whether a dialer that has proven itself is answered. */
  answers = true;
  /** What every dialer that has proven itself is refused with; null to answer. */
  refusal: Refusal | null = null;
  /** Answers those that were not answered, in order. */
  readonly held: (() => void)[] = [];
  self: HandshakeSelf;
  readonly #server: Server;

  static async make(world: TcpWorld, self: HandshakeSelf, path = 0): Promise<HandServer> {
    const hand = new HandServer(world, self);
    await new Promise<void>((up) => hand.#server.listen(world.port(self.server, path), '127.0.0.1', up));
    return hand;
  }

  private constructor(world: TcpWorld, self: HandshakeSelf) {
    this.self = self;
    this.#server = createServer((socket) => this.#take(world.own(socket)));
    world.own({ destroy: () => this.#server.close() });
  }

  #take(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    const handshake = new AcceptorHandshake(this.self, randomBytes(32));
    socket.on('data', (chunk) => {
      handshake.feed(chunk);
      for (;;) {
        const step = handshake.step();
        assert(!(step instanceof Fault));
        if (step.kind === 'send') socket.write(step.bytes);
        else if (step.kind === 'identified') {
          this.dialers.push(step.dialer);
          if (this.refusal !== null) {
            socket.end(handshake.refuse(this.refusal, 'the test says so'));
            return;
          }
          if (!this.answers) {
            this.held.push(() => socket.write(handshake.accept()));
            return;
          }
          socket.write(handshake.accept());
        } else {
          if (step.kind === 'established') this.sessions.push(step.terms);
          return;
        }
      }
    });
  }
}
