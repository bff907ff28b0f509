/**
 * What a client sees of a change of owner: the longest time without an answer, for a client that writes one block after
 * the other and, when its connection is lost, tries to connect every 10 ms. Before each, so many bytes wait to be
 * written to the medium, all of which the new owner has to write and sync before it may serve.
 *
 * - `killed`   kill -9 of the owner; its process is gone and its lock proves it
 * - `frozen`   SIGSTOP of the owner: it falls silent, and is killed before its volume is claimed
 * - `planned`  `holdfast takeover`; each one gives back what the one before took
 */
import { NbdSession } from '../src/app/demo/nbd-client.ts';
import { HOST, sleep, waitFor } from './machine.ts';
import { Pair } from './pair.ts';
import { median, table } from './report.ts';

type Kind = 'killed' | 'frozen' | 'planned';
const KINDS: readonly Kind[] = ['killed', 'frozen', 'planned'];
const GOALS: Readonly<Record<Kind, { readonly must: number; readonly aim: number }>> = {
  killed: { must: 500, aim: 200 },
  frozen: { must: 4_000, aim: 2_000 },
  planned: { must: 300, aim: 50 },
};

const RECONNECT_MS = 10;
const BLOCK_BYTES = 4_096;
const PIECE_BYTES = 256 << 10;
const AT_ONCE = 4;
const USUAL_MIB = 64;
/** Nothing is destaged by its age, so that what was written is what waits. */
const TIMINGS = { destage: '600s' };
/** A volume destages by itself when a quarter of its store is full. */
const CAPACITY_PER_WAITING = 5;
/** The client goes on for so long before and after. */
const CALM_MS = 150;
const MOST_MS = 30_000;

/** A client that never gives up. */
class Client {
  longestMs = 0;
  answers = 0;
  readonly #ports: readonly number[];
  readonly #exportName: string;
  #answeredMs = performance.now();
  #done = false;
  #session: NbdSession | null = null;
  /** Increased with each connection: what an earlier one says is too late. */
  #life = 0;
  readonly #block = Buffer.alloc(BLOCK_BYTES, 0x5a);

  constructor(ports: readonly number[], exportName: string) {
    this.#ports = [...new Set(ports)];
    this.#exportName = exportName;
  }

  /** Tries every address every 10 ms until one serves. */
  start(): void {
    let attempt = 0;
    const life = (this.#life += 1);
    const isOver = (): boolean => this.#done || this.#life !== life || this.#session !== null;
    const again = (): void => {
      if (isOver()) return;
      const port = this.#ports[attempt % this.#ports.length] ?? 0;
      attempt += 1;
      NbdSession.open(HOST, port, this.#exportName).then(
        (session) => {
          if (isOver()) session.close();
          else this.#use(session);
        },
        () => {},
      );
      setTimeout(again, RECONNECT_MS);
    };
    again();
  }

  #use(session: NbdSession): void {
    this.#session = session;
    this.#writing(session).catch(() => {
      if (this.#session !== session) return;
      this.#session = null;
      this.start();
    });
  }

  async #writing(session: NbdSession): Promise<void> {
    for (let at = 0; !this.#done && this.#session === session; at = (at + BLOCK_BYTES) % (1 << 20)) {
      await session.write(at, this.#block);
      if (this.#session !== session) return;
      const nowMs = performance.now();
      this.longestMs = Math.max(this.longestMs, nowMs - this.#answeredMs);
      this.#answeredMs = nowMs;
      this.answers += 1;
      // A client that only writes as fast as it can would itself be what waits to be written.
      await sleep(1);
    }
  }

  /** The owner's host is gone for this client, as when its address has moved. */
  leave(): void {
    this.#session = null;
    this.start();
  }

  /** From now on. */
  forget(): void {
    this.longestMs = 0;
  }

  end(): void {
    this.#done = true;
    this.#session?.close();
  }
}

/** Fills the stores with so many bytes that the medium does not have. */
async function fill(pair: Pair, owner: 'a' | 'b', bytes: number): Promise<void> {
  const session = await NbdSession.open(HOST, pair.ports[owner], pair.exportName);
  const piece = Buffer.alloc(PIECE_BYTES, 0x33);
  let next = 1 << 20;
  const writer = async (): Promise<void> => {
    while (next < (1 << 20) + bytes) {
      const at = next;
      next += PIECE_BYTES;
      await session.write(at, piece);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, writer));
  session.close();
}

/** One change of owner; the client's pause in ms. */
async function change(pair: Pair, kind: Kind, owner: 'a' | 'b', bytes: number): Promise<number> {
  const other = owner === 'a' ? 'b' : 'a';
  await fill(pair, owner, bytes);
  const client = new Client([pair.ports[owner], pair.ports[other]], pair.exportName);
  client.start();
  await waitFor('the client writes', () => client.answers > 5, MOST_MS);
  await sleep(CALM_MS);
  client.forget();
  const before = client.answers;
  await happen(pair, kind, owner, client);
  await pair.untilServing(other);
  const served = client.answers;
  await waitFor('the client writes again', () => client.answers > Math.max(before, served) + 5, MOST_MS);
  await sleep(CALM_MS);
  client.end();
  // A frozen server of the same machine is killed by the one that claims its volume.
  if (!pair.server(owner).isRunning) pair.launch(owner);
  else if (kind === 'frozen') pair.server(owner).signal('SIGCONT');
  await pair.untilInSync(other);
  return client.longestMs;
}

async function happen(pair: Pair, kind: Kind, owner: 'a' | 'b', client: Client): Promise<void> {
  switch (kind) {
    case 'killed':
      return pair.server(owner).kill();
    case 'frozen':
      pair.server(owner).signal('SIGSTOP');
      client.leave();
      return;
    case 'planned':
      await pair.takeover(owner === 'a' ? 'b' : 'a');
  }
}

function startPair(kind: Kind, mostMib: number): Promise<Pair> {
  return Pair.start({
    store: 'journal',
    capacityMib: Math.max(64, mostMib * CAPACITY_PER_WAITING),
    sizeMib: 1_024,
    timings: TIMINGS,
    ownAddresses: kind === 'frozen',
  });
}

/** Each kind of change `times` times, owners taking turns. */
export async function pauses(times: number, say: (text: string) => void): Promise<void> {
  const rows = [['change of owner', `${USUAL_MIB} MiB undestaged`, 'p50 ms', 'least', 'most', 'at most', 'aim', '']];
  for (const kind of KINDS) {
    const pair = await startPair(kind, USUAL_MIB);
    try {
      const all: number[] = [];
      let owner: 'a' | 'b' = 'a';
      for (let i = 0; i < times; i += 1) {
        all.push(await change(pair, kind, owner, USUAL_MIB << 20));
        owner = owner === 'a' ? 'b' : 'a';
      }
      const p50 = median(all);
      const { must, aim } = GOALS[kind];
      const verdict = p50 <= aim ? 'aim' : p50 <= must ? 'ok' : 'SHORT';
      const ms = (value: number): string => value.toFixed(0);
      rows.push([
        kind,
        `n = ${times}`,
        ms(p50),
        ms(Math.min(...all)),
        ms(Math.max(...all)),
        ms(must),
        ms(aim),
        verdict,
      ]);
    } finally {
      await pair.end();
    }
  }
  say(`The client's longest pause, reconnecting every ${RECONNECT_MS} ms\n${table(rows)}`);
}

/** How the pause of a killed owner grows with what waits for the medium. */
export async function pauseSweep(times: number, say: (text: string) => void): Promise<void> {
  const sizes = [0, 16, 32, 64, 128];
  const rows = [['undestaged', '', 'p50 ms', 'least', 'most']];
  const pair = await startPair('killed', Math.max(...sizes));
  try {
    let owner: 'a' | 'b' = 'a';
    const found = new Map<number, number[]>(sizes.map((size) => [size, []]));
    for (let i = 0; i < times; i += 1) {
      for (const size of sizes) {
        found.get(size)?.push(await change(pair, 'killed', owner, size << 20));
        owner = owner === 'a' ? 'b' : 'a';
      }
    }
    for (const [size, all] of found) {
      const ms = (value: number): string => value.toFixed(0);
      rows.push([`${size} MiB`, `n = ${times}`, ms(median(all)), ms(Math.min(...all)), ms(Math.max(...all))]);
    }
  } finally {
    await pair.end();
  }
  say(`The pause after kill -9 of the owner, over what waits for the medium\n${table(rows)}`);
}
