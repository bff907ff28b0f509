/**
 * The link over TCP (src/ports/link.ts): listens on every path, connects on every path to every peer, and lets only
 * servers of the same cluster in. What it does on the wire is docs/link-protocol.md.
 *
 * Here the parts are put together and strangers are judged; which connection becomes a path's session is in path.ts.
 */
import type { Socket } from 'node:net';
import { assert, Fault } from '../../base/fault.ts';
import type { Incarnation, ServerId } from '../../base/names.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Link, LinkEvents, LinkMessage, PathRef } from '../../ports/link.ts';
import {
  chooseVersion,
  type DialerIdentity,
  FEATURES,
  MAX_VERSION,
  MIN_KEY_BYTES,
  MIN_VERSION,
  type Refusal,
} from '../../wire/link-conversation.ts';
import { Accept, type AcceptUser } from './accept.ts';
import { Connection } from './connection.ts';
import { type AnswerPoll, DEFAULT_LIMITS, type LinkContext, type TcpLinkLimits } from './context.ts';
import { Listener } from './listener.ts';
import { type Closing, Path } from './path.ts';
import { type Address, type SocketMaker, tcpSockets } from './sockets.ts';
import { type LinkLog, ThrottledLog } from './throttle.ts';

/** How many earlier incarnations of a peer are remembered, to refuse them. */
const MAX_RETIRED = 64;

export interface TcpLinkOptions {
  readonly self: ServerId;
  readonly incarnation: Incarnation;
  readonly clusterId: string;
  /** The shared cluster key, at least 16 bytes; the whole content of the key file. */
  readonly key: Buffer;
  /** Where this server listens, one address per path. */
  readonly listen: readonly Address[];
  /** Where the others listen, in the same order of paths; a peer may have fewer paths than this server. */
  readonly peers: ReadonlyMap<ServerId, { readonly paths: readonly Address[] }>;
  readonly clock: Clock;
  readonly log: LinkLog;
  readonly limits?: Partial<TcpLinkLimits>;
  /** How connections are made and taken; plain TCP unless given. */
  readonly sockets?: SocketMaker;
  /** What this server claims to speak; for tests of mixed versions. */
  readonly protocol?: { readonly minVersion: number; readonly maxVersion: number; readonly features: number };
  /** A number in [0, 1), to spread retries. */
  readonly spread?: () => number;
  /** Looks out for answers that are expected at once; nobody, unless given. */
  readonly poll?: AnswerPoll;
}

/** A peer's incarnations, as they were met. */
class Peer {
  readonly paths: Path[] = [];
  #current: Incarnation | null = null;
  readonly #retired = new Set<Incarnation>();

  /** False when it is an earlier one. A new one replaces what there was, on all paths. */
  meet(incarnation: Incarnation): boolean {
    if (incarnation === this.#current) return true;
    if (this.#retired.has(incarnation)) return false;
    if (this.#current !== null) this.#retired.add(this.#current);
    for (const oldest of this.#retired) {
      if (this.#retired.size <= MAX_RETIRED) break;
      this.#retired.delete(oldest);
    }
    this.#current = incarnation;
    for (const path of this.paths) path.restarted(incarnation);
    return true;
  }
}

export class TcpLink implements Link {
  readonly peers: ReadonlyMap<ServerId, { readonly paths: number }>;
  readonly #context: LinkContext;
  readonly #options: TcpLinkOptions;
  readonly #known = new Map<ServerId, Peer>();
  readonly #listeners: Listener[] = [];
  /** Connections that are shaking hands, the oldest first. */
  readonly #accepts = new Set<Accept>();
  #state: 'made' | 'open' | 'closed' = 'made';

  /** Throws a Fault `refused` when the options make no sense together. Nothing is opened before `listen`. */
  constructor(options: TcpLinkOptions) {
    checkOptions(options);
    const { self, incarnation, clusterId, key, clock } = options;
    const protocol = options.protocol ?? { minVersion: MIN_VERSION, maxVersion: MAX_VERSION, features: FEATURES };
    this.#options = options;
    this.#context = {
      self: { clusterId, server: self, incarnation, key, ...protocol },
      limits: { ...DEFAULT_LIMITS, ...options.limits },
      clock,
      log: new ThrottledLog(options.log, clock),
      sockets: options.sockets ?? tcpSockets,
      spread: options.spread ?? Math.random,
      poll: options.poll ?? { expect: () => undefined },
    };
    this.peers = new Map([...options.peers].map(([peer, { paths }]) => [peer, { paths: paths.length }]));
  }

  /** Where this server listens, path by path; null while an address cannot be had. */
  get listening(): readonly (Address | null)[] {
    return this.#listeners.map((listener) => listener.bound);
  }

  /** True from the call of `close` on. */
  get closed(): boolean {
    return this.#state === 'closed';
  }

  listen(events: LinkEvents): void {
    assert(this.#state === 'made', 'a link is opened once');
    this.#state = 'open';
    this.#options.listen.forEach((address, path) => {
      const listener = new Listener(this.#context, address, (socket) => this.#connected(socket, path));
      this.#listeners.push(listener);
      listener.listen();
    });
    for (const [id, { paths }] of this.#options.peers) {
      const peer = new Peer();
      this.#known.set(id, peer);
      const user = { events, meet: (incarnation: Incarnation) => peer.meet(incarnation) };
      paths.forEach((address, path) => peer.paths.push(new Path(this.#context, id, path, address, user)));
      for (const path of peer.paths) path.start();
    }
  }

  send(at: PathRef, message: LinkMessage): boolean {
    const path = this.#path(at.peer, at.path);
    return path !== null && path.send(message);
  }

  drop(at: PathRef, why: string): void {
    this.#path(at.peer, at.path)?.drop(why);
  }

  /** What was sent has `closeMs` to leave. `done` when every address is free; no event comes after the call. */
  close(done: () => void): void {
    assert(!this.closed, 'a link is closed once');
    this.#state = 'closed';
    const closing: Closing[] = [];
    for (const peer of this.#known.values()) {
      for (const path of peer.paths) {
        const left = path.close();
        if (left !== null) closing.push(left);
      }
    }
    for (const accept of this.#accepts) accept.cancel();
    const { clock, limits } = this.#context;
    const deadline = clock.after(limits.closeMs, () => {
      for (const left of closing) left.destroy();
    });
    // One more than there is to wait for, so that `done` never comes from within this call.
    let waiting = 1 + closing.length + this.#listeners.length;
    const one = (): void => {
      waiting -= 1;
      if (waiting > 0) return;
      deadline.cancel();
      done();
    };
    for (const left of closing) left.once('close', one);
    for (const listener of this.#listeners) listener.close(one);
    clock.soon(one);
  }

  #path(peer: ServerId, path: number): Path | null {
    return this.#known.get(peer)?.paths[path] ?? null;
  }

  #connected(socket: Socket, path: number): void {
    const nobody = { bytes: (): boolean => false, over: (): void => {} };
    const remote = socket.remoteAddress ?? 'unknown';
    const connection = new Connection(socket, remote, nobody, this.#context.sockets.direct);
    if (this.#state !== 'open') return connection.close();
    // Whoever has been shaking hands for the longest is the likeliest never to come to an end.
    for (const oldest of this.#accepts) {
      if (this.#accepts.size < this.#context.limits.handshakes * this.#listeners.length) break;
      oldest.evict();
    }
    this.#accepts.add(new Accept(this.#context, connection, path, this.#judge));
  }

  readonly #judge: AcceptUser = {
    judge: (accept, dialer) => {
      const refusal = this.#misfit(accept, dialer);
      if (refusal !== null) return refusal;
      return this.#path(dialer.server, dialer.path)?.judge(accept, dialer) ?? null;
    },
    begun: (accept, connection, terms, rest) => {
      this.#accepts.delete(accept);
      const path = this.#path(terms.peer, terms.path);
      assert(path !== null, 'a session is of a path that was judged');
      path.accepted(accept, connection, terms, rest);
    },
    ended: (accept) => {
      this.#accepts.delete(accept);
      for (const peer of this.#known.values()) peer.paths[accept.path]?.acceptEnded(accept);
    },
  };

  /** The dialer holds the key; do the two configurations fit each other? */
  #misfit(accept: Accept, dialer: DialerIdentity): { why: Refusal; text: string } | null {
    const { self } = this.#context;
    const { server, target, path, clusterId, minVersion, maxVersion } = dialer;
    if (clusterId !== self.clusterId) {
      return { why: 'cluster', text: `this is cluster '${self.clusterId}', not '${clusterId}'` };
    }
    if (server === self.server) return { why: 'self', text: `'${server}' is this server's own id` };
    if (target !== self.server) return { why: 'target', text: `this is '${self.server}', not '${target}'` };
    const paths = this.peers.get(server)?.paths;
    if (paths === undefined)
      return { why: 'stranger', text: `'${server}' is not in the configuration of '${self.server}'` };
    if (path !== accept.path) return { why: 'path', text: `this is path ${accept.path}, not ${path}` };
    if (path >= paths)
      return { why: 'path', text: `'${self.server}' has ${paths} paths to '${server}', none numbered ${path}` };
    if (chooseVersion(self, dialer) === null) {
      const ours = `${self.minVersion} to ${self.maxVersion}`;
      return {
        why: 'version',
        text: `'${self.server}' speaks protocol versions ${ours}, '${server}' ${minVersion} to ${maxVersion}`,
      };
    }
    return null;
  }
}

function checkOptions({ self, clusterId, key, listen, peers, incarnation }: TcpLinkOptions): void {
  if (key.length < MIN_KEY_BYTES) {
    throw new Fault('refused', `The cluster key has ${key.length} bytes; it needs at least ${MIN_KEY_BYTES}.`);
  }
  for (const [what, text] of [
    ['cluster id', clusterId],
    ['server id', self],
    ...[...peers.keys()].map((peer) => ['server id', peer]),
  ]) {
    const length = Buffer.byteLength(text!);
    if (length < 1 || length > 255)
      throw new Fault('refused', `The ${what} '${text}' has ${length} bytes; 1 to 255 are allowed.`);
  }
  if (incarnation.length < 1 || incarnation.length > 64)
    throw new Fault('refused', 'An incarnation has 1 to 64 characters.');
  for (const [peer, { paths }] of peers) {
    if (peer === self) throw new Fault('refused', `Server '${self}' is its own peer.`);
    if (paths.length < 1) throw new Fault('refused', `There is no path to server '${peer}'.`);
    if (paths.length > listen.length) {
      throw new Fault('refused', `Server '${peer}' has ${paths.length} paths, '${self}' listens on ${listen.length}.`);
    }
  }
}
