/**
 * What clients saw of a block volume, judged sector by sector: is it what a single disk could have answered? It shares
 * no code with what it judges.
 *
 * Every write carries a number of its own, and its bytes in every sector are made from that number and the sector's, so
 * a sector that is read names the one write it comes from, or is torn. A write and the reads of it are a cluster. The
 * sector surely held that value from the earliest end of the cluster's operations to the latest begin (a forward zone).
 * By Gibbons and Korach ("Testing shared memories", 1997) the sector behaved like one register exactly when no two
 * forward zones overlap and no cluster lies wholly within another's forward zone: an acknowledged write that is lost, and
 * a read older than an earlier read, both break this. Zeroes carry no number; their reads are judged by a weaker rule.
 *
 * Time is a counter of begins and ends, so it never steps and no two events share a moment.
 */
import { Prng } from './prng.ts';

/** Bytes that are judged as one: what every client may count on to be written as a whole. */
export const SECTOR_BYTES = 512;
/** The number of what was never written, of zeroes, and of trimmed sectors (a trimmed sector reads as zeroes here). */
export const ZEROES = 0;

const HEAD_BYTES = 16;
const POOL_BYTES = 1 << 16;
const ZERO_SECTOR = Buffer.alloc(SECTOR_BYTES);

/** One write, zero or trim. */
export interface Write {
  /** From 1 on; ZEROES is not a write's number. Zeroes and trims have numbers too, which no read can show. */
  readonly number: number;
  readonly zero: boolean;
  readonly begin: number;
  /** When it was answered, or when it can no longer take effect; Infinity before that. */
  end: number;
  acknowledged: boolean;
}

/** A write as one sector saw it. */
interface Cluster {
  readonly write: Write;
  firstReadEnd: number;
  lastReadBegin: number;
}

interface ZeroRead {
  readonly begin: number;
  readonly end: number;
}

interface Sector {
  readonly clusters: Map<number, Cluster>;
  zeroReads: ZeroRead[];
}

/** More findings than this are counted and not described. */
const MOST_FINDINGS = 8;

export class History {
  readonly #sectors: Sector[];
  readonly #pool: Buffer;
  #number = 0;
  #tick = 0;
  /** What is wrong, as sentences. */
  readonly findings: string[] = [];
  #more = 0;

  /** `sectors` sectors that have never been written, or read as zeroes. */
  constructor(sectors: number, seed: number) {
    const chance = new Prng(seed);
    this.#pool = Buffer.alloc(POOL_BYTES + SECTOR_BYTES);
    for (let at = 0; at < this.#pool.length; at += 4) this.#pool.writeUInt32LE(chance.next(), at);
    this.#sectors = Array.from({ length: sectors }, () => fresh(null));
  }

  get sectors(): number {
    return this.#sectors.length;
  }

  /** A moment later than every one before. */
  now(): number {
    return (this.#tick += 1);
  }

  /** A write of `count` sectors from `first` on begins now. */
  begin(first: number, count: number, zero: boolean): Write {
    const write: Write = {
      number: (this.#number += 1),
      zero,
      begin: this.now(),
      end: Infinity,
      acknowledged: false,
    };
    for (let sector = first; sector < first + count; sector += 1) {
      this.#at(sector).clusters.set(write.number, { write, firstReadEnd: Infinity, lastReadBegin: -Infinity });
    }
    return write;
  }

  acknowledged(write: Write): void {
    write.acknowledged = true;
    write.end = this.now();
  }

  /** The write was never answered, and from now on it cannot take effect any more. */
  bounded(write: Write, moment: number): void {
    if (!write.acknowledged) write.end = Math.min(write.end, moment);
  }

  /** The bytes of `write` in the sectors from `first` on. */
  data(write: Write, first: number, count: number): Buffer {
    const data = Buffer.allocUnsafe(count * SECTOR_BYTES);
    for (let index = 0; index < count; index += 1) this.#fill(data, index * SECTOR_BYTES, write.number, first + index);
    return data;
  }

  #fill(data: Buffer, at: number, number: number, sector: number): void {
    data.writeUIntLE(number, at, 6);
    data.writeUInt16LE(0x4846, at + 6);
    data.writeUInt32LE(sector, at + 8);
    data.writeUInt32LE(~sector >>> 0, at + 12);
    const from = this.#poolAt(number, sector);
    this.#pool.copy(data, at + HEAD_BYTES, from, from + SECTOR_BYTES - HEAD_BYTES);
  }

  #poolAt(number: number, sector: number): number {
    return (Math.imul(number, 0x9e3779b1) ^ Math.imul(sector, 0x85ebca77)) & (POOL_BYTES - 1);
  }

  /** Which write a sector's bytes come from; -1 when from no single one. */
  numberOf(data: Buffer, at: number, sector: number): number {
    const bytes = data.subarray(at, at + SECTOR_BYTES);
    if (bytes.equals(ZERO_SECTOR)) return ZEROES;
    const number = bytes.readUIntLE(0, 6);
    if (bytes.readUInt16LE(6) !== 0x4846 || bytes.readUInt32LE(8) !== sector) return -1;
    if (bytes.readUInt32LE(12) !== ~sector >>> 0 || number > this.#number) return -1;
    const from = this.#poolAt(number, sector);
    const same = this.#pool.compare(bytes, HEAD_BYTES, SECTOR_BYTES, from, from + SECTOR_BYTES - HEAD_BYTES) === 0;
    return same ? number : -1;
  }

  /** A read that began at `begin` and ends now saw `data` in the sectors from `first` on. */
  read(first: number, data: Buffer, begin: number): void {
    const end = this.now();
    for (let at = 0; at < data.length; at += SECTOR_BYTES)
      this.#readSector(first + at / SECTOR_BYTES, data, at, begin, end);
  }

  #readSector(index: number, data: Buffer, at: number, begin: number, end: number): void {
    const number = this.numberOf(data, at, index);
    const sector = this.#at(index);
    if (number === ZEROES) {
      sector.zeroReads.push({ begin, end });
      return;
    }
    if (number === -1)
      return this.#find(`sector ${index} is torn or not ours: ${data.toString('hex', at, at + 32)}...`);
    const cluster = sector.clusters.get(number);
    if (cluster === undefined) {
      return this.#find(
        `sector ${index} holds write ${number}, which was overwritten before the last full check or never sent there`,
      );
    }
    if (cluster.write.begin > end)
      return this.#find(`sector ${index} was read as write ${number} before that was sent`);
    cluster.firstReadEnd = Math.min(cluster.firstReadEnd, end);
    cluster.lastReadBegin = Math.max(cluster.lastReadBegin, begin);
  }

  /** Judges every sector. What is wrong goes to `findings`. */
  judge(): void {
    this.#sectors.forEach((sector, index) => {
      const finding = judgeSector(sector);
      if (finding !== null) this.#find(`sector ${index}: ${finding}`);
    });
  }

  /**
   * Judges every sector, and forgets the past: `data` is what all of the volume holds while nothing is under way. Writes
   * of before that show up later are then errors.
   */
  conclude(data: Buffer): void {
    this.judge();
    this.#sectors.forEach((sector, index) => {
      const number = this.numberOf(data, index * SECTOR_BYTES, index);
      this.#sectors[index] = fresh(number === ZEROES ? null : (sector.clusters.get(number)?.write ?? null));
    });
  }

  #find(text: string): void {
    if (this.findings.length < MOST_FINDINGS) this.findings.push(text);
    else this.#more += 1;
  }

  /** All findings as one text; null when nothing is wrong. */
  report(): string | null {
    if (this.findings.length === 0) return null;
    return [...this.findings, ...(this.#more > 0 ? [`and ${this.#more} more`] : [])].join('\n');
  }

  #at(sector: number): Sector {
    const found = this.#sectors[sector];
    if (found === undefined) throw new Error(`sector ${sector} is beyond the ${this.#sectors.length} that are judged`);
    return found;
  }
}

/** A sector with one settled value; null is zeroes. */
function fresh(write: Write | null): Sector {
  const settled: Write =
    write === null
      ? { number: ZEROES, zero: true, begin: 0, end: 0, acknowledged: true }
      : { number: write.number, zero: false, begin: write.begin, end: write.begin + 0.5, acknowledged: true };
  return {
    clusters: new Map([[settled.number, { write: settled, firstReadEnd: Infinity, lastReadBegin: -Infinity }]]),
    zeroReads: [],
  };
}

/** A cluster's two moments: when the value was surely there for the first and for the last time. */
interface Zone {
  readonly cluster: Cluster;
  /** Earliest end of its operations. */
  readonly end: number;
  /** Latest begin of its operations. */
  readonly begin: number;
}

/** What is wrong with a sector's history; null when one register explains it. */
function judgeSector(sector: Sector): string | null {
  const zones: Zone[] = [];
  for (const cluster of sector.clusters.values()) {
    // Neither answered nor seen: it need not have happened.
    if (!cluster.write.acknowledged && cluster.firstReadEnd === Infinity) continue;
    zones.push({
      cluster,
      end: Math.min(cluster.write.end, cluster.firstReadEnd),
      begin: Math.max(cluster.write.begin, cluster.lastReadBegin),
    });
  }
  const forward = zones.filter((zone) => zone.end < zone.begin).sort((a, b) => a.end - b.end);
  for (let index = 1; index < forward.length; index += 1) {
    const [a, b] = [forward[index - 1] as Zone, forward[index] as Zone];
    if (b.end < a.begin) return `${tell(a)} and ${tell(b)} cannot both be`;
  }
  for (const zone of zones) {
    if (zone.end < zone.begin) continue;
    const around = forward.find((one) => one.end < zone.begin && zone.end < one.begin);
    if (around !== undefined)
      return `${tell(zone)} happened and was not seen: ${tell(around)} was there before and after it`;
  }
  return judgeZeroes(sector, zones, forward);
}

function judgeZeroes(sector: Sector, zones: readonly Zone[], forward: readonly Zone[]): string | null {
  const zeroes = [...sector.clusters.values()].filter((cluster) => cluster.write.zero).map(({ write }) => write);
  for (const read of sector.zeroReads) {
    const span = `zeroes were read between ${read.begin} and ${read.end}`;
    const around = forward.find((one) => one.end < read.begin && read.end < one.begin);
    if (around !== undefined) return `${span}, and ${tell(around)} was there before and after`;
    const overwritten = (zero: Write): boolean =>
      zones.some((zone) => !zone.cluster.write.zero && zone.cluster.write.begin > zero.end && zone.end < read.begin);
    if (!zeroes.some((zero) => zero.begin < read.end && !overwritten(zero))) {
      const lost = zones.filter((zone) => !zone.cluster.write.zero && zone.end < read.begin).at(-1);
      return `${span}, and nothing made them zero${lost === undefined ? '' : ` after ${tell(lost)}`}`;
    }
  }
  return null;
}

function tell({ cluster, end, begin }: Zone): string {
  const { write } = cluster;
  const name = write.number === ZEROES ? 'the initial zeroes' : `${write.zero ? 'zeroes' : 'write'} ${write.number}`;
  const answer = write.acknowledged ? `acknowledged ${write.end}` : 'never acknowledged';
  const seen =
    cluster.firstReadEnd === Infinity ? 'never read' : `read from ${cluster.firstReadEnd} to ${cluster.lastReadBegin}`;
  return `${name} (sent ${write.begin}, ${answer}, ${seen}; settled ${end}, last ${begin})`;
}
