/**
 * One volume's door: its program, the listener at its service address and the connections that came through it. It
 * lives from the owner's `open` to its `close`. It listens while the program gets ready: a client that is refused waits
 * for seconds before it tries again, one whose request waits a moment is answered at that moment.
 */
import net from 'node:net';
import { type Done, Fault } from '../../base/fault.ts';
import type { Epoch, VolumeName } from '../../base/names.ts';
import { Budget } from '../clients/budget.ts';
import { ClientLog } from './client-log.ts';
import { Connection, type ConnectionOwner, type Served } from './connection.ts';
import { Crowd } from './crowd.ts';
import type { NfsLimits } from './limits.ts';
import { MountProgram } from './mount.ts';
import { allowed, plainAddress } from './networks.ts';
import { type PortmapperAddress, PortRegistration } from './portmapper.ts';
import type { NfsExport, NfsLog, NfsProgram } from './program.ts';

/** Pause between attempts to take over an address that its previous owner on this host still holds, ms. */
const ADDRESS_RETRY_MS = 3;
/** Every so many attempts a line says that the address is still held: about once in 5 s. */
const ATTEMPTS_PER_LINE = 1_500;
/** As at the doors for NBD: frees clients of a frozen server whose address has moved on, and notices dead ones. */
const KEEP_ALIVE_MS = 2_000;
const TICK_MS = 1_000;
/** Connections that the system keeps for us until we come to them. */
const BACKLOG = 511;

/** What a door is made of. */
export interface DoorParts {
  readonly volume: VolumeName;
  readonly epoch: Epoch;
  readonly exported: NfsExport;
  readonly program: NfsProgram;
  readonly limits: NfsLimits;
  readonly portmapper: PortmapperAddress;
  readonly log: NfsLog;
}

export class Door implements ConnectionOwner {
  readonly #parts: DoorParts;
  readonly #served: Served;
  readonly #server: net.Server;
  readonly #crowd: Crowd<Connection>;
  readonly #clientLog: ClientLog;
  #opened: Done | null;
  #isListening = false;
  #attempts = 0;
  #retry: NodeJS.Timeout | null = null;
  #ticker: NodeJS.Timeout | null = null;
  #shut = false;
  #ended = false;
  #registration: PortRegistration | null = null;
  /** Newcomers turned away since the last line about it, and whether one was written in this second. */
  #untold = 0;
  #told = false;

  /** Begins to open; `opened` is called once, unless the door is held or closed before. */
  constructor(parts: DoorParts, opened: Done) {
    const { volume, exported, program, limits, log } = parts;
    this.#parts = parts;
    this.#opened = opened;
    this.#crowd = new Crowd(limits);
    this.#clientLog = new ClientLog(log, volume);
    const mount = new MountProgram(volume, exported, program, limits.maxMounts, this.#clientLog.note);
    this.#served = { program, mount, limits, budget: new Budget(limits.maxVolumeBytes), ready: false };
    this.#server = net.createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
    this.#server.on('connection', (socket) => this.#enter(socket));
    this.#server.on('error', (error: NodeJS.ErrnoException) => this.#failed(error));
    this.#server.on('listening', () => this.#listening());
    this.#listen();
    program.open((fault) => this.#ready(fault));
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#crowd.size;
  }

  /** Who is connected, each as `address port`. */
  clients(): string[] {
    return Array.from(this.#crowd, ({ client }) => `${client.address} ${client.port}`);
  }

  /** The port that is listened on, or null when none is. */
  get port(): number | null {
    const address = this.#server.address();
    return address === null || typeof address === 'string' ? null : address.port;
  }

  /** Bytes that requests and answers of all connections count for now. */
  get usedBytes(): number {
    return this.#served.budget.usedBytes;
  }

  /** Stops listening and taking requests; `done` once the address is free. */
  hold(done: () => void): void {
    this.#stopListening();
    for (const connection of this.#crowd) connection.hold();
    const { volume, epoch, log } = this.#parts;
    log('nfs.hold', { volume, epoch, connections: this.connections });
    setImmediate(done);
  }

  /** Closes everything at once. */
  close(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopListening();
    const { volume, epoch, log, program } = this.#parts;
    log('nfs.close', { volume, epoch, connections: this.connections, why });
    for (const connection of this.#crowd) connection.close(why);
    this.#clientLog.tick();
    program.end(why);
  }

  // ---- listening

  #ready(fault: Fault | null): void {
    if (this.#shut) return;
    if (fault !== null) return this.#fail(fault);
    this.#served.ready = true;
    for (const connection of this.#crowd) connection.roomAgain();
    this.#openSoon();
  }

  /** The door is open when it is listened at and the program is ready. */
  #openSoon(): void {
    if (!this.#isListening || !this.#served.ready) return;
    const opened = this.#opened;
    this.#opened = null;
    opened?.(null);
  }

  /** Nobody will be served: nobody is let in either, and who came already is sent away. */
  #fail(fault: Fault): void {
    const opened = this.#opened;
    this.#stopListening();
    for (const connection of this.#crowd) connection.close(fault.message);
    opened?.(fault);
  }

  #listen(): void {
    const { host, port } = this.#parts.exported.address;
    this.#retry = null;
    this.#attempts++;
    this.#server.listen({ host, port, exclusive: true, backlog: BACKLOG });
  }

  /** The listening descriptor is closed within this call; the address is free when it returns. */
  #stopListening(): void {
    this.#shut = true;
    this.#opened = null;
    if (this.#retry !== null) clearTimeout(this.#retry);
    if (this.#ticker !== null) clearInterval(this.#ticker);
    this.#retry = null;
    this.#ticker = null;
    this.#server.close();
    void this.#registration?.unregister();
    this.#registration = null;
  }

  #listening(): void {
    if (this.#shut) return void this.#server.close();
    const { volume, epoch, exported, log, portmapper } = this.#parts;
    const { port } = this;
    log('nfs.listen', { volume, epoch, host: exported.address.host, port });
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    this.#ticker.unref();
    if (exported.portmapper && port !== null) {
      this.#registration = new PortRegistration(volume, port, portmapper, log);
      void this.#registration.register();
    }
    this.#isListening = true;
    this.#openSoon();
  }

  #failed(error: NodeJS.ErrnoException): void {
    const { volume, exported, log } = this.#parts;
    const { host, port } = exported.address;
    if (this.#shut) return;
    if (this.#isListening) return log('nfs.accept-error', { volume, error: error.message });
    if (error.code === 'EADDRINUSE') {
      if (this.#attempts % ATTEMPTS_PER_LINE === 1) log('nfs.listen-wait', { volume, host, port });
      this.#retry = setTimeout(() => this.#listen(), ADDRESS_RETRY_MS);
      return;
    }
    const kind = error.code === 'EACCES' ? 'refused' : 'io';
    this.#fail(new Fault(kind, `volume ${volume} cannot be served at ${host}:${port}: ${error.message}`, error));
  }

  // ---- connections

  #enter(socket: net.Socket): void {
    const { remoteAddress, remotePort } = socket;
    if (this.#shut || remoteAddress === undefined) return drop(socket);
    const client = { address: plainAddress(remoteAddress), port: remotePort ?? 0 };
    const admission = this.#crowd.admission(client.address);
    if (admission.kind === 'refuse') {
      this.#refuse(client.address, admission.why);
      return drop(socket);
    }
    if (admission.kind === 'instead') admission.of.close('a newer connection needed the room');
    const permitted = allowed(client.address, this.#parts.exported.clients);
    this.#crowd.add(new Connection(socket, client, permitted, this.#served, this));
  }

  /** One line a second: a flood of connections is not answered by a flood of lines. */
  #refuse(client: string, reason: string): void {
    this.#untold++;
    if (this.#told) return;
    this.#told = true;
    this.#clientLog.note('nfs.refuse', { volume: this.#parts.volume, client, reason, times: this.#untold });
    this.#untold = 0;
  }

  #tick(): void {
    this.#told = false;
    this.#clientLog.tick();
    if (!this.#served.ready) return;
    for (const connection of this.#crowd) connection.tick();
  }

  spoke(connection: Connection): void {
    this.#crowd.spoke(connection);
    const { volume } = this.#parts;
    const { client } = connection;
    this.#clientLog.note('nfs.connect', {
      volume,
      client: `${client.address}:${client.port}`,
      allowed: connection.allowed,
    });
  }

  /** What never said anything leaves without a line, as it came. */
  closed(connection: Connection, why: string): void {
    if (this.#crowd.remove(connection)) return;
    const { volume } = this.#parts;
    const { client, requests } = connection;
    this.#clientLog.note('nfs.disconnect', { volume, client: `${client.address}:${client.port}`, why, requests });
  }
}

function drop(socket: net.Socket): void {
  socket.on('error', () => {});
  socket.destroy();
}
