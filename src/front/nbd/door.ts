/**
 * One volume's door: the listener at its service address and the connections that came through it. It lives from the
 * owner's `open` to its `close`.
 */
import net from 'node:net';
import { type Done, Fault } from '../../base/fault.ts';
import type { Epoch, VolumeName } from '../../base/names.ts';
import type { VolumeService } from '../../ports/service.ts';
import { Budget } from '../clients/budget.ts';
import { Connection, type NbdLog } from './connection.ts';
import { type NbdLimits, REFUSED_CONNECTIONS } from './limits.ts';
import type { Export } from './transmission.ts';

/** Where a volume is served. */
export interface NbdAddress {
  /** An IP address of this host, or a name that resolves to one. */
  readonly host: string;
  /** 0 lets the system choose: for tests. */
  readonly port: number;
}

/** Pause between attempts to take over an address that its previous owner on this host still holds, ms. */
const ADDRESS_RETRY_MS = 3;
/** Every so many attempts a line says that the address is still held: about once in 5 s. */
const ATTEMPTS_PER_LINE = 1_500;
/**
 * After so much silence the system tests whether an idle connection's peer is there, ms: a dead client's requests are
 * dropped. It also frees clients of a frozen server whose address has moved on: they answer the test to the address,
 * where the new owner's system knows no such connection and resets it.
 */
const KEEP_ALIVE_MS = 2_000;

export class Door {
  readonly #volume: VolumeName;
  readonly #epoch: Epoch;
  readonly #address: NbdAddress;
  readonly #log: NbdLog;
  readonly #exported: Export;
  readonly #server: net.Server;
  readonly #connections = new Set<Connection>();
  #opened: Done | null;
  #attempts = 0;
  #retry: NodeJS.Timeout | null = null;
  #shut = false;

  /** Begins to listen; `opened` is called once, unless the door is held or closed before. */
  constructor(
    volume: VolumeName,
    epoch: Epoch,
    service: VolumeService,
    address: NbdAddress,
    limits: NbdLimits,
    log: NbdLog,
    opened: Done,
  ) {
    this.#volume = volume;
    this.#epoch = epoch;
    this.#address = address;
    this.#log = log;
    this.#opened = opened;
    const budget = new Budget(limits.maxVolumeBytes);
    this.#exported = { name: volume, service, sizeBytes: service.sizeBytes(''), limits, budget };
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
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Who is connected, each as `address port`. */
  clients(): string[] {
    return [...this.#connections].flatMap(({ client }) => client ?? []);
  }

  /** The port that is listened on, or null when none is. */
  get port(): number | null {
    const address = this.#server.address();
    return address === null || typeof address === 'string' ? null : address.port;
  }

  /** Stops listening and taking requests; `done` once the address is free. */
  hold(done: () => void): void {
    this.#stopListening();
    for (const connection of this.#connections) connection.hold();
    this.#log('nbd.hold', { volume: this.#volume, epoch: this.#epoch, connections: this.connections });
    setImmediate(done);
  }

  /** Closes everything at once. */
  close(why: string): void {
    this.#stopListening();
    this.#log('nbd.close', { volume: this.#volume, epoch: this.#epoch, connections: this.connections, why });
    for (const connection of this.#connections) connection.close(why);
  }

  #listen(): void {
    this.#retry = null;
    this.#attempts++;
    this.#server.listen({ host: this.#address.host, port: this.#address.port, exclusive: true });
  }

  /** The listening descriptor is closed within this call; the address is free when it returns. */
  #stopListening(): void {
    this.#shut = true;
    this.#opened = null;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    this.#server.close();
  }

  #listening(): void {
    if (this.#shut) return void this.#server.close();
    this.#log('nbd.listen', { volume: this.#volume, epoch: this.#epoch, host: this.#address.host, port: this.port });
    const opened = this.#opened;
    this.#opened = null;
    opened?.(null);
  }

  #failed(error: NodeJS.ErrnoException): void {
    const { host, port } = this.#address;
    if (this.#shut) return;
    if (this.#opened === null) return this.#log('nbd.accept-error', { volume: this.#volume, error: error.message });
    if (error.code === 'EADDRINUSE') {
      if (this.#attempts % ATTEMPTS_PER_LINE === 1) this.#log('nbd.listen-wait', { volume: this.#volume, host, port });
      this.#retry = setTimeout(() => this.#listen(), ADDRESS_RETRY_MS);
      return;
    }
    const opened = this.#opened;
    this.#opened = null;
    const kind = error.code === 'EACCES' ? 'refused' : 'io';
    opened(new Fault(kind, `volume ${this.#volume} cannot be served at ${host}:${port}: ${error.message}`, error));
  }

  #enter(socket: net.Socket): void {
    const { maxConnections } = this.#exported.limits;
    if (this.#shut || this.connections >= maxConnections + REFUSED_CONNECTIONS) return drop(socket);
    const client = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
    let refusal: string | null = null;
    if (this.connections < maxConnections) this.#log('nbd.connect', { volume: this.#volume, client });
    else {
      refusal = `volume ${this.#volume} serves at most ${maxConnections} connections`;
      this.#log('nbd.refuse', { volume: this.#volume, client, reason: refusal });
    }
    this.#connections.add(
      new Connection(socket, this.#exported, refusal, this.#log, (connection) => this.#connections.delete(connection)),
    );
  }
}

function drop(socket: net.Socket): void {
  socket.on('error', () => {});
  socket.destroy();
}
