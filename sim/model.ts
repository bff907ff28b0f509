/**
 * What the clients of one volume were told, and so what its sectors may hold: the oracle. It shares no code with the
 * core. A write is known by its tag, a number that fills each of its sectors; zeroes (0) have many possible writers.
 *
 * The moments are those at the server's door: an operation begins when the front end submits it and is answered when
 * the core calls `done`. That is stricter than what a client sees, and it is what the core promises.
 */

/** Bytes of a sector: the grain of tearing and of the oracle. */
export const SECTOR = 512;
/** Tag of bytes that read as zeroes. */
export const ZERO = 0;

/** A modification as the oracle knows it. Times in virtual ms. */
export interface Write {
  /** Tag of its sectors; ZERO for zero and trim. */
  readonly tag: number;
  readonly first: number;
  readonly count: number;
  readonly beginMs: number;
  /** When it was answered without a fault; Infinity while it was not. */
  ackMs: number;
  /** It has taken effect by then, or never will: answered, seen by a read per sector, or its connection or server gone. */
  readonly boundMs: Float64Array;
  /** A client has read it somewhere: it may not be taken back, answered or not. */
  seen: boolean;
}

export interface Read {
  readonly first: number;
  readonly beginMs: number;
  readonly endMs: number;
  /** One tag per sector. */
  readonly tags: readonly number[];
}

/** What one era (between two accepted losses) left behind, for the linearizability check. */
export interface Era {
  readonly beginMs: number;
  /** Content at its beginning, one tag per sector. */
  readonly initial: readonly number[];
  readonly writes: Write[];
  readonly reads: Read[];
}

export class Model {
  readonly sectors: number;
  readonly #byTag = new Map<number, Write>();
  /** Per sector the zeroes and trims that were ever begun. */
  readonly #zeroes: Write[][];
  /** Per sector the writes that have surely taken effect and that no other such write surely followed. */
  readonly #floor: Write[][];
  #eras: Era[];

  constructor(sectors: number) {
    this.sectors = sectors;
    this.#zeroes = Array.from({ length: sectors }, () => []);
    this.#floor = Array.from({ length: sectors }, () => []);
    this.#eras = [{ beginMs: -1, initial: Array.from({ length: sectors }, () => ZERO), writes: [], reads: [] }];
    this.#beginWith(-1);
  }

  get eras(): readonly Era[] {
    return this.#eras;
  }
  get era(): Era {
    return this.#eras[this.#eras.length - 1] as Era;
  }

  writeOf(tag: number): Write | null {
    return this.#byTag.get(tag) ?? null;
  }

  begin(tag: number, first: number, count: number, nowMs: number): Write {
    const write: Write = {
      tag,
      first,
      count,
      beginMs: nowMs,
      ackMs: Infinity,
      boundMs: new Float64Array(count).fill(Infinity),
      seen: false,
    };
    this.era.writes.push(write);
    this.#register(write);
    return write;
  }

  acknowledge(write: Write, nowMs: number): void {
    write.ackMs = nowMs;
    for (let i = 0; i < write.count; i++) {
      if ((write.boundMs[i] as number) > nowMs) write.boundMs[i] = nowMs;
      this.#raise(write, write.first + i);
    }
  }

  /** The write will not take effect after now: its connection was closed, or its server is gone. */
  bound(write: Write, nowMs: number): void {
    for (let i = 0; i < write.count; i++) if ((write.boundMs[i] as number) > nowMs) write.boundMs[i] = nowMs;
  }

  /** A read was answered. Returns what is wrong with it at first sight, or null; the rest is the linearizability check. */
  read(read: Read): string | null {
    this.era.reads.push(read);
    for (let i = 0; i < read.tags.length; i++) {
      const tag = read.tags[i] as number;
      const sector = read.first + i;
      const wrong = this.unacceptable(sector, tag, read.beginMs);
      if (wrong !== null) return wrong;
      if (tag === ZERO) continue;
      const write = this.#byTag.get(tag) as Write;
      write.seen = true;
      const at = sector - write.first;
      if ((write.boundMs[at] as number) > read.endMs) write.boundMs[at] = read.endMs;
      this.#raise(write, sector);
    }
    return null;
  }

  /**
   * Why `tag` cannot be the content of `sector` as of now: it is no write to it, or it surely came before another that
   * surely took effect (before `beforeMs`, when given). Null when it can.
   */
  unacceptable(sector: number, tag: number, beforeMs = Infinity): string | null {
    const floor = this.#floor[sector] as Write[];
    if (tag !== ZERO) {
      const write = this.#byTag.get(tag);
      if (write === undefined) return `sector ${sector} holds ${tag}, which nobody wrote`;
      if (sector < write.first || sector >= write.first + write.count) {
        return `sector ${sector} holds ${tag}, which was written elsewhere (${write.first}+${write.count})`;
      }
      const later = overtaker(write, sector, floor, beforeMs);
      return later === null ? null : older(sector, write, later);
    }
    let reason: string | null = null;
    for (const zero of this.#zeroes[sector] as Write[]) {
      const later = overtaker(zero, sector, floor, beforeMs);
      if (later === null) return null;
      reason = older(sector, zero, later);
    }
    return reason ?? `sector ${sector} holds zeroes, which nobody wrote`;
  }

  /** After an accepted loss: the content found is the content, whatever had been acknowledged. */
  accept(initial: readonly number[], nowMs: number): void {
    this.#eras.push({ beginMs: nowMs, initial: [...initial], writes: [], reads: [] });
    this.#byTag.clear();
    this.#beginWith(nowMs);
  }

  #beginWith(nowMs: number): void {
    const initial = this.era.initial;
    for (let sector = 0; sector < this.sectors; sector++) {
      this.#zeroes[sector] = [];
      this.#floor[sector] = [];
      const tag = initial[sector] as number;
      const write: Write = {
        tag,
        first: sector,
        count: 1,
        beginMs: nowMs,
        ackMs: nowMs,
        boundMs: new Float64Array(1).fill(nowMs),
        seen: false,
      };
      if (tag === ZERO) (this.#zeroes[sector] as Write[]).push(write);
      else this.#initialTag(write, sector);
      (this.#floor[sector] as Write[]).push(write);
    }
  }

  /** An era may begin with one tag in several sectors: one write that covers them all. */
  #initialTag(write: Write, sector: number): void {
    const known = this.#byTag.get(write.tag);
    if (known === undefined) {
      this.#byTag.set(write.tag, write);
      return;
    }
    const count = sector - known.first + 1;
    const wider: Write = { ...known, count, boundMs: new Float64Array(count).fill(known.ackMs) };
    this.#byTag.set(write.tag, wider);
  }

  #register(write: Write): void {
    if (write.tag !== ZERO) {
      if (this.#byTag.has(write.tag)) throw new Error(`tag ${write.tag} twice`);
      this.#byTag.set(write.tag, write);
      return;
    }
    for (let i = 0; i < write.count; i++) (this.#zeroes[write.first + i] as Write[]).push(write);
  }

  #raise(write: Write, sector: number): void {
    const floor = this.#floor[sector] as Write[];
    let kept = 0;
    for (const other of floor) {
      if (other === write) return;
      if ((other.boundMs[sector - other.first] as number) >= write.beginMs) floor[kept++] = other;
    }
    floor.length = kept;
    floor.push(write);
  }
}

/** A write that has surely taken effect (before `beforeMs`) and surely after `write`. */
function overtaker(write: Write, sector: number, floor: readonly Write[], beforeMs: number): Write | null {
  const bound = write.boundMs[sector - write.first] as number;
  for (const other of floor) {
    if (other === write || bound >= other.beginMs) continue;
    if ((other.boundMs[sector - other.first] as number) < beforeMs) return other;
  }
  return null;
}

function older(sector: number, write: Write, later: Write): string {
  const name = (w: Write) => (w.tag === ZERO ? 'zeroes' : `write ${w.tag}`);
  const end = later.ackMs === Infinity ? 'read by a client' : `acknowledged at ${later.ackMs.toFixed(2)}`;
  return (
    `sector ${sector} holds ${name(write)} (begun ${write.beginMs.toFixed(2)}) although ${name(later)} ` +
    `(begun ${later.beginMs.toFixed(2)}) came after it and was ${end}`
  );
}
