/**
 * A disk as an application sees one: it keeps what was not answered and sends it again over a new connection when the
 * old one is lost, as clients with a reconnect option do. It also keeps the demo's books: which writes were
 * acknowledged, and how long the client was ever kept waiting.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { NbdError, NbdSession } from './nbd-client.ts';

/** Pause between two attempts to connect. */
const RECONNECT_MS = 10;

/** When the disk gives up: an answer that takes longer than this is the demo's failure. */
const PATIENCE_MS = 60_000;

export interface DiskEvents {
  /** The connection was lost; `unanswered` requests will be sent again. */
  lost(unanswered: number, why: string): void;
  /** Connected again, `attempts` after the loss. */
  back(attempts: number): void;
}

/** One export, reached patiently. */
export class Disk {
  readonly #host: string;
  readonly #port: number;
  readonly #exportName: string;
  readonly #events: DiskEvents;
  #session: Promise<NbdSession> | null = null;
  #unanswered = 0;
  #closed = false;
  #wasLost = false;

  constructor(host: string, port: number, exportName: string, events: DiskEvents) {
    this.#host = host;
    this.#port = port;
    this.#exportName = exportName;
    this.#events = events;
  }

  /** Resolves once the write is acknowledged, however many connections that takes. */
  async write(offset: number, data: Buffer): Promise<void> {
    await this.#patiently((session) => session.write(offset, data));
  }

  async read(offset: number, length: number): Promise<Buffer> {
    return this.#patiently((session) => session.read(offset, length));
  }

  close(): void {
    this.#closed = true;
    this.#session?.then((session) => session.close()).catch(() => undefined);
  }

  async #patiently<T>(use: (session: NbdSession) => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    this.#unanswered += 1;
    try {
      for (;;) {
        this.#session ??= this.#connect(startedMs);
        const attempt = this.#session;
        try {
          return await use(await attempt);
        } catch (error) {
          if (this.#closed || error instanceof NbdError || performance.now() - startedMs > PATIENCE_MS) throw error;
          // The first of those whose connection this was makes the next one.
          if (this.#session === attempt) {
            this.#session = null;
            this.#wasLost = true;
            this.#events.lost(this.#unanswered, (error as Error).message);
          }
        }
      }
    } finally {
      this.#unanswered -= 1;
    }
  }

  async #connect(startedMs: number): Promise<NbdSession> {
    for (let attempts = 1; ; attempts += 1) {
      try {
        const session = await NbdSession.open(this.#host, this.#port, this.#exportName);
        if (this.#wasLost) this.#events.back(attempts);
        this.#wasLost = false;
        return session;
      } catch (error) {
        if (this.#closed || performance.now() - startedMs > PATIENCE_MS) throw error;
        await pause(RECONNECT_MS);
      }
    }
  }
}
