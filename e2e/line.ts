/**
 * One NBD connection that is made again whenever it ends, and that remembers which writes died with it: the ground under
 * the oracle's load (oracle.ts).
 */
import { connect, type NbdClient, NbdReplyError } from '../suites/nbd-client.ts';
import type { Write } from './history.ts';

/** Where a volume is served. */
export interface Place {
  readonly host: string;
  /** Usually one; where an address cannot move from one server to another, each server's, tried in turn. */
  readonly ports: readonly number[];
  readonly exportName: string;
}

/** What the client waits after a failed attempt to connect. */
const RECONNECT_MS = 10;
/** Longest time for one attempt to connect and to agree. */
const CONNECT_MS = 1_000;

export class Line {
  /** Connections made so far. */
  connects = 0;
  /** Writes that this client itself gave up, see `lookForSilence`. */
  givenUp: Write[] = [];
  readonly #place: Place;
  readonly #settled: (writes: readonly Write[]) => void;
  #client: NbdClient | null = null;
  #making: Promise<NbdClient> | null = null;
  /** Writes that died with an earlier connection and may still take effect. */
  #limbo: Write[] = [];
  #inFlight = 0;
  #answeredMs = 0;
  #closed = false;

  /** `settled` is told which unanswered writes can take no effect from now on. */
  constructor(place: Place, settled: (writes: readonly Write[]) => void) {
    this.#place = place;
    this.#settled = settled;
  }

  /**
   * Makes a request on the present connection, or on the next one. True: it was answered. False: its connection ended
   * first; `write` is then in limbo. An error of the server's is thrown.
   */
  async ask(request: (client: NbdClient) => Promise<void>, write: Write | null): Promise<boolean> {
    const client = this.#client ?? (await (this.#making ??= this.#connect()));
    if (this.#inFlight === 0) this.#answeredMs = performance.now();
    this.#inFlight += 1;
    try {
      await request(client);
      this.#heard();
      return true;
    } catch (error) {
      if (error instanceof NbdReplyError) {
        this.#heard();
        throw error;
      }
      // Its end may be told a moment before its socket is closed.
      if (this.#client === client) this.#client = null;
      if (write !== null) this.#limbo.push(write);
      return false;
    } finally {
      this.#inFlight -= 1;
    }
  }

  /**
   * An answer came on a connection that was opened after the server had ended the earlier ones. Whoever ended them had
   * died or handed the volume over, and whatever was admitted there has been replayed or will never be.
   */
  #heard(): void {
    this.#answeredMs = performance.now();
    if (this.#limbo.length > 0 && this.#client !== null) this.#settled(this.#limbo.splice(0));
  }

  async #connect(): Promise<NbdClient> {
    const { host, ports, exportName } = this.#place;
    for (let attempt = 0; ; attempt += 1) {
      if (this.#closed) throw new Error('this client was closed');
      const port = ports[attempt % ports.length] ?? 0;
      try {
        const client = await connect(host, port, exportName, { timeoutMs: CONNECT_MS });
        this.connects += 1;
        this.#client = client;
        this.#making = null;
        return client;
      } catch {
        await sleep(RECONNECT_MS);
      }
    }
  }

  /** Gives the connection up when nothing was answered for `patienceMs`: its server is frozen, or only slow. */
  lookForSilence(patienceMs: number): void {
    const client = this.#client;
    if (client === null || this.#inFlight === 0 || performance.now() - this.#answeredMs < patienceMs) return;
    this.#client = null;
    client.destroy();
    // Its writes may lie in the buffers of a server that is only asleep: a later answer says nothing about them.
    setImmediate(() => this.givenUp.push(...this.#limbo.splice(0)));
  }

  close(): void {
    this.#closed = true;
    this.#client?.destroy();
  }
}

/** Lets some time go by: a moment of failure that nothing else determines. */
export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
