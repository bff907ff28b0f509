/**
 * A wire of the link that a test can cut: a TCP proxy from one server to one path of another. Cut, it lets nothing
 * through and says nothing, like a cable that was pulled: connections stay open and silent, and new ones are taken and
 * stay silent as well.
 */
import net from 'node:net';

const HOST = '127.0.0.1';

interface Pair {
  readonly near: net.Socket;
  readonly far: net.Socket;
}

export class Wire {
  readonly from: string;
  readonly to: string;
  /** From 0 on. */
  readonly path: number;
  readonly port: number;
  readonly #server: net.Server;
  readonly #pairs = new Set<Pair>();
  #cut = false;

  private constructor(from: string, to: string, path: number, server: net.Server, target: number) {
    this.from = from;
    this.to = to;
    this.path = path;
    this.#server = server;
    const address = server.address();
    this.port = typeof address === 'object' && address !== null ? address.port : 0;
    server.on('connection', (near) => this.#connect(near, target));
  }

  /** Lays a wire from `from` to path `path` of `to`, which listens at `target`. */
  static lay(from: string, to: string, path: number, target: number): Promise<Wire> {
    return new Promise((resolve, reject) => {
      const server = net.createServer({ noDelay: true });
      server.once('error', reject);
      server.listen(0, HOST, () => resolve(new Wire(from, to, path, server, target)));
    });
  }

  #connect(near: net.Socket, target: number): void {
    const far = net.connect({ host: HOST, port: target, noDelay: true });
    const pair = { near, far };
    this.#pairs.add(pair);
    const end = (): void => {
      near.destroy();
      far.destroy();
      this.#pairs.delete(pair);
    };
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      socket.on('data', (bytes: Buffer) => {
        if (!other.write(bytes)) socket.pause();
        // A cut wire keeps what was on its way; it is lost with the connection.
      });
      other.on('drain', () => {
        if (!this.#cut) socket.resume();
      });
      socket.on('error', end);
      socket.on('close', end);
    }
    if (this.#cut) this.#hold(pair);
  }

  #hold({ near, far }: Pair): void {
    near.pause();
    far.pause();
  }

  cut(): void {
    this.#cut = true;
    for (const pair of this.#pairs) this.#hold(pair);
  }

  /** Lets everything through again; what was held goes on as after a long delay. */
  mend(): void {
    this.#cut = false;
    for (const { near, far } of this.#pairs) {
      near.resume();
      far.resume();
    }
  }

  close(): void {
    this.#server.close();
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far.destroy();
    }
  }
}
