/** Listens at one path's address, for as long as it takes to get it. */
import type { Server, Socket } from 'node:net';
import type { Timer } from '../../ports/clock.ts';
import type { LinkContext } from './context.ts';
import { type Address, addressText } from './sockets.ts';

export class Listener {
  readonly #context: LinkContext;
  readonly #address: Address;
  readonly #server: Server;
  #retry: Timer | null = null;
  #closed = false;

  constructor(context: LinkContext, address: Address, accept: (socket: Socket) => void) {
    this.#context = context;
    this.#address = address;
    this.#server = context.sockets.server(accept);
    this.#server.on('error', (error) => this.#failed(error));
    this.#server.on('listening', () => {
      // `close` may have come while the address was being looked up.
      if (this.#closed) return void this.#server.close();
      context.log.always('info', 'link.listening', { address: addressText(this.bound ?? address) });
    });
  }

  /** Where it listens, with the port that the system chose if 0 was asked for; null while it does not. */
  get bound(): Address | null {
    const found = this.#server.listening ? this.#server.address() : null;
    return found === null || typeof found === 'string' ? null : { host: found.address, port: found.port };
  }

  listen(): void {
    this.#server.listen({ host: this.#address.host, port: this.#address.port });
  }

  /** `done` when the address is free. Connections that were taken are not this class's. */
  close(done: () => void): void {
    this.#closed = true;
    this.#retry?.cancel();
    this.#server.close(() => done());
  }

  /** The address may still be held by the process before this one, or not yet be configured: it is tried again. */
  #failed(error: Error): void {
    const address = addressText(this.#address);
    this.#context.log.throttled(`listen ${address}`, 'warn', 'link.listen-failed', { address, error: error.message });
    if (this.#closed || this.#server.listening) return;
    this.#retry = this.#context.clock.after(this.#context.limits.listenRetryMs, () => this.listen());
  }
}
