/**
 * The auditor sees what no server can see: the register, every disk, the medium, and what clients were told. After
 * each step that matters it asks whether every acknowledged write could be recovered now from what the record names.
 * It knows the protocol's promises (design section 6), none of its code.
 */
import type { VolumeName } from '../src/base/names.ts';
import type { Operation } from '../src/base/operation.ts';
import type { VolumeRecord } from '../src/ports/coordinator.ts';
import type { Context } from './context.ts';
import { namedStores, onMediumAlone, overlay } from './copies.ts';
import { tagOf, type Disk, type LogState } from './disk.ts';
import { FilesModel } from './files/model.ts';
import type { Life } from './life.ts';
import type { Device, Flight, Opener } from './device.ts';
import { Model, ZERO, type Write } from './model.ts';
import type { SimStore } from './store.ts';

/** What the auditor may look at. */
export interface Truth {
  recordOf(volume: number): VolumeRecord;
  /** The storm has been over for a while: every server can be reached. */
  readonly healed: boolean;
  /** Every disk that ever had a store of this volume, by store id. */
  diskOf(volume: number, store: string): Disk | null;
  readonly device: Device;
}

interface VolumeAudit {
  readonly name: VolumeName;
  readonly model: Model;
  /** Of a files volume. */
  files: FilesModel | null;
  /** Order of each write, from the number it was first stored under. */
  readonly orders: Map<number, number>;
  /** What each (epoch, sequence) was first given to. */
  readonly numbers: Map<number, string>;
  /** Epoch and server of the newest answer. */
  answeredEpoch: number;
  answeredBy: string;
  /** Processes whose claim has landed, with the epoch of the newest one. */
  readonly claimants: Map<string, number>;
  /** Epochs whose copies an administrator gave up. */
  readonly givenUp: Set<number>;
  /** Set while a loss was named and accepted, until the content is known again. */
  reset: boolean;
}

const EPOCH_STEP = 2 ** 32;

export class Auditor {
  readonly volumes: VolumeAudit[];
  readonly #ctx: Context;
  #truth: Truth | null = null;

  constructor(ctx: Context, volumes: readonly { readonly name: VolumeName; readonly sectors: number }[]) {
    this.#ctx = ctx;
    this.volumes = volumes.map((v) => ({
      name: v.name,
      model: new Model(v.sectors),
      files: null,
      orders: new Map(),
      numbers: new Map(),
      answeredEpoch: 0,
      answeredBy: '',
      claimants: new Map(),
      givenUp: new Set(),
      reset: false,
    }));
  }

  see(truth: Truth): void {
    this.#truth = truth;
    this.volumes.forEach((audit, volume) => {
      const files = truth.device.files[volume] ?? null;
      audit.files = files === null ? null : new FilesModel(files);
    });
  }

  /** Null for a block volume. */
  filesOf(volume: number): FilesModel | null {
    return this.#volume(volume).files;
  }

  modelOf(volume: number): Model {
    return this.#volume(volume).model;
  }

  // ---- what happens -------------------------------------------------------------------------------------------

  /** A store was handed operations: numbers are never reused, and the order of writes becomes known. */
  appended(store: SimStore, operations: readonly Operation[]): void {
    const audit = this.#volume(store.volumeIndex);
    for (const o of operations) {
      const number = o.epoch * EPOCH_STEP + o.sequence;
      const tag = o.data.length > 0 && o.target === '' ? tagOf(o.data, 0) : Number(o.timeNs);
      const identity = `${o.kind}:${tag}:${o.target}:${o.offset}+${o.length}`;
      const known = audit.numbers.get(number);
      if (known === undefined) audit.numbers.set(number, identity);
      else if (known !== identity) {
        this.#ctx.fail(
          'numbers are never reused',
          `${audit.name}: epoch ${o.epoch} sequence ${o.sequence} is ${known} and ${identity}`,
        );
      }
      if (tag !== ZERO && !audit.orders.has(tag)) audit.orders.set(tag, number);
    }
  }

  /** A store's entries became durable. */
  committed(store: SimStore, voided: boolean, dropped: boolean): void {
    const { givenUp, name } = this.#volume(store.volumeIndex);
    for (const log of store.disk.voided.splice(0)) {
      if (!log.complete || log.operations === 0 || !givenUp.has(log.epoch)) continue;
      this.#ctx.fail(
        'T30 what was given up is kept',
        `${name}: ${store.life.server} erased ${log.operations} operations of epoch ${log.epoch}`,
      );
    }
    if (voided || dropped)
      this.recoverable(store.volumeIndex, voided ? 'a log was voided' : 'operations were released');
  }

  /** A swap took place. */
  swapped(volume: number, before: VolumeRecord, after: VolumeRecord): void {
    const audit = this.#volume(volume);
    if (after.epoch < before.epoch)
      this.#ctx.fail('epochs grow', `${audit.name}: epoch ${before.epoch} became ${after.epoch}`);
    if (after.generation < before.generation) {
      this.#ctx.fail('generations grow', `${audit.name}: generation ${before.generation} became ${after.generation}`);
    }
    if (after.losses.length > before.losses.length || after.losses.at(-1) !== before.losses.at(-1))
      this.#lossAccepted(volume, before);
    if (after.owner?.server !== before.owner?.server && after.epoch > before.epoch) this.#ctx.tally.takeovers++;
    if (after.epoch > before.epoch) this.#ctx.tally.claims++;
    if (after.owner !== null) audit.claimants.set(after.owner.incarnation, after.epoch);
    if (audit.files !== null) {
      if (onMediumAlone(after)) audit.files.aloneUntilMs = Infinity;
      else if (audit.files.aloneUntilMs === Infinity) audit.files.aloneUntilMs = this.#ctx.now;
    }
    this.recoverable(volume, `the record became ${after.mirror}`);
  }

  /** Epoch of the newest claim of this process; 0: none has landed. */
  claimOf(life: Life, volume: number): number {
    return this.#volume(volume).claimants.get(life.incarnation) ?? 0;
  }

  /** A fence is run (section 4, step 2): only by one whose swap is done. */
  fences(life: Life, volume: VolumeName): void {
    const audit = this.volumes.find((v) => v.name === volume);
    if (audit?.claimants.has(life.incarnation)) return;
    this.#ctx.fail(
      'fence after the swap',
      `${volume}: ${life.server} runs the fence although no swap of its own was done`,
    );
  }

  /** A write to the medium was issued (invariants I3, I4, I6, I7 and trap T5). */
  written(life: Life, volume: number, first: number, tags: readonly number[]): void {
    const audit = this.#volume(volume);
    const truth = this.#see();
    const record = truth.recordOf(volume);
    this.#authority(life, volume, record, 'wrote to the medium');
    const platter = truth.device.platters[volume];
    for (let i = 0; i < tags.length; i++) {
      const tag = tags[i] as number;
      if (tag === ZERO) continue;
      const sector = first + i;
      const wrong =
        audit.model.writeOf(tag) === null
          ? `sector ${sector}: ${tag} was never written`
          : this.#unstable(life, volume, record, tag);
      if (wrong !== null) {
        this.#ctx.fail(
          'I6 destaged only when confirmed',
          `${audit.name}: ${life.server} writes ${tag} to the medium (${record.mirror}): ${wrong}`,
        );
        return;
      }
      const there = platter?.synced[sector] ?? ZERO;
      const order = audit.orders.get(tag);
      const orderThere = there === ZERO ? undefined : audit.orders.get(there);
      // A replay from the other store may take back what nobody was told of and nobody has seen.
      const known = audit.model.writeOf(there);
      const loose = record.mirror === 'replaying' && known !== null && known.ackMs === Infinity && !known.seen;
      if (order !== undefined && orderThere !== undefined && order < orderThere && !loose) {
        this.#ctx.fail(
          'I3 order on the medium',
          `${audit.name}: ${life.server} writes ${tag} over ${there} in sector ${sector}, which is later and synced`,
        );
        return;
      }
    }
  }

  /** Something landed on the medium after a successor had opened it (section 4, steps 2 and 3). */
  late(flight: Flight, successor: Opener): void {
    this.#ctx.fail(
      'nothing lands late',
      `${this.#volume(flight.volume).name}: a write of ${flight.life.server} in epoch ${flight.epoch} landed although ` +
        `${successor.life.server} had opened the medium in epoch ${successor.epoch}`,
    );
  }

  zeroed(life: Life, volume: number): void {
    this.#authority(life, volume, this.#see().recordOf(volume), 'zeroed on the medium');
  }

  /** The core answered a client (invariant I4): nobody answers once a later epoch has. */
  answered(life: Life, volume: number, epoch: number): void {
    const audit = this.#volume(volume);
    if (epoch < audit.answeredEpoch) {
      this.#ctx.fail(
        'I4 one server decides answers',
        `${audit.name}: ${life.server} answered in epoch ${epoch} although ${audit.answeredBy} had answered in epoch ${audit.answeredEpoch}`,
      );
    }
    audit.answeredEpoch = epoch;
    audit.answeredBy = life.server;
    const record = this.#see().recordOf(volume);
    if (record.epoch === epoch && record.mirror === 'replaying') {
      this.#ctx.fail(
        'I5 replay before serving',
        `${audit.name}: ${life.server} answered while the record of its own epoch is replaying`,
      );
    }
  }

  /** A write was acknowledged (invariant I1): the copies that the record promises are there. */
  acknowledged(life: Life, volume: number, write: Write): void {
    const audit = this.#volume(volume);
    const truth = this.#see();
    const record = truth.recordOf(volume);
    if (write.tag !== ZERO) {
      for (const id of namedStores(record)) {
        const disk = truth.diskOf(volume, id);
        if (disk !== null && !disk.everHeld.has(write.tag) && !this.#onMedium(volume, write)) {
          this.#ctx.fail(
            'I1 acknowledged only when stored',
            `${audit.name}: ${life.server} acknowledged write ${write.tag} while ${record.mirror}, but store ${id.slice(0, 6)} never held it`,
          );
          return;
        }
      }
    }
    this.recoverable(volume, `write ${write.tag} was acknowledged`);
  }

  // ---- what the auditor of files volumes asks

  touches(life: Life, volume: number, what: string): void {
    this.#authority(life, volume, this.#see().recordOf(volume), what);
  }

  unstable(life: Life, volume: number, tag: number): string | null {
    return this.#unstable(life, volume, this.#see().recordOf(volume), tag);
  }

  /** A store that the record names and that never held this; null: all have. */
  lacking(volume: number, tag: number): string | null {
    const truth = this.#see();
    const named = namedStores(truth.recordOf(volume));
    return named.find((id) => truth.diskOf(volume, id)?.everHeld.has(tag) === false) ?? null;
  }

  orderOf(volume: number, tag: number): number | undefined {
    return this.#volume(volume).orders.get(tag);
  }

  isReplaying(volume: number): boolean {
    return this.#see().recordOf(volume).mirror === 'replaying';
  }

  /** A door was opened: never by a claimant that has not finished its replay. */
  opened(life: Life, volume: number, epoch: number): void {
    const record = this.#see().recordOf(volume);
    const audit = this.#volume(volume);
    if (
      record.epoch < epoch ||
      (record.epoch === epoch && (record.owner?.incarnation !== life.incarnation || record.mirror === 'replaying'))
    ) {
      this.#ctx.fail(
        'I5 replay before serving',
        `${audit.name}: ${life.server} opened the door in epoch ${epoch}, the record is ${record.mirror} in epoch ${record.epoch}`,
      );
    }
  }

  /** An owner agreed to hand over (section 4, step 3): all its medium I/O has returned. */
  agreed(life: Life, volume: number): void {
    const outstanding = this.#see().device.outstandingOf(life, volume);
    if (outstanding > 0) {
      this.#ctx.fail(
        'agreement after I/O',
        `${this.#volume(volume).name}: ${life.server} agreed to a handover with ${outstanding} writes on their way`,
      );
    }
  }

  // ---- what must always hold ----------------------------------------------------------------------------------

  /** Everything acknowledged, and everything read, is in what the record says holds it. */
  recoverable(volume: number, occasion: string): void {
    if (this.#truth === null || this.#ctx.failure !== null) return;
    const audit = this.#volume(volume);
    if (audit.reset) return;
    const truth = this.#truth;
    const record = truth.recordOf(volume);
    const platter = truth.device.platters[volume];
    if (platter === undefined) return;
    if (onMediumAlone(record)) {
      this.#judge(volume, platter.synced, null, `the synced medium (${record.mirror}; ${occasion})`);
      return;
    }
    for (const id of namedStores(record)) {
      const disk = truth.diskOf(volume, id);
      if (disk === null || disk.lost) continue;
      const where = `the synced medium with store ${id.slice(0, 6)} (${record.mirror}; ${occasion})`;
      const generation = record.source?.generation ?? record.generation;
      const epoch = record.source?.epoch ?? record.epoch;
      const log = disk.durable;
      if (
        log === null ||
        !log.head.complete ||
        log.head.epoch !== epoch ||
        !log.head.generations.includes(generation)
      ) {
        const is =
          log === null
            ? 'nothing'
            : `epoch ${log.head.epoch}, generations ${log.head.generations.join()}${log.head.complete ? '' : ', incomplete'}`;
        this.#ctx.fail(
          'I2 a named copy is kept',
          `${audit.name}: ${where} holds ${is} instead of epoch ${epoch}, generation ${generation}`,
        );
        return;
      }
      this.#judge(volume, platter.synced, log, where);
    }
  }

  /** What the record says holds everything, if there is any such copy left: the budget of the faults. */
  survives(volume: number, without: (disk: Disk) => boolean): boolean {
    const truth = this.#see();
    const record = truth.recordOf(volume);
    if (onMediumAlone(record)) return true;
    return namedStores(record).some((id) => {
      const disk = truth.diskOf(volume, id);
      return disk !== null && !disk.lost && !without(disk);
    });
  }

  #lossAccepted(volume: number, before: VolumeRecord): void {
    const audit = this.#volume(volume);
    const truth = this.#see();
    this.#ctx.tally.losses++;
    const left = namedStores(before).filter((id) => {
      const disk = truth.diskOf(volume, id);
      return disk !== null && !disk.lost;
    });
    // In the storm an administrator may give up what cannot be reached; in a healthy cluster only what is gone.
    if (onMediumAlone(before) || (truth.healed && left.length > 0)) {
      this.#ctx.fail(
        'I10 a loss only when it cannot be avoided',
        `${audit.name}: a loss was accepted while ${before.mirror} and ${left.length} named copies were there`,
      );
    }
    audit.givenUp.add(before.source?.epoch ?? before.epoch);
    audit.reset = true;
  }

  /** After an accepted loss, once the volume serves: what is there is what there is. */
  settleLoss(volume: number, content: ArrayLike<number>): void {
    const audit = this.#volume(volume);
    if (!audit.reset) return;
    const files = this.#see().device.files[volume] ?? null;
    if (files !== null) audit.files?.accept(files, this.#ctx.now);
    else audit.model.accept(Array.from(content), this.#ctx.now);
    audit.orders.clear();
    audit.reset = false;
  }

  isReset(volume: number): boolean {
    return this.#volume(volume).reset;
  }

  #judge(volume: number, synced: Uint32Array, log: LogState | null, where: string): void {
    const audit = this.#volume(volume);
    const files = this.#see().device.files[volume] ?? null;
    if (files !== null) {
      const wrong = audit.files?.unacceptable(files, log?.operations ?? []) ?? null;
      if (wrong !== null) this.#ctx.fail('I1 nothing acknowledged is lost', `${audit.name}: ${where}: ${wrong}`);
      return;
    }
    const content = log === null ? synced : overlay(synced, log);
    for (let sector = 0; sector < audit.model.sectors; sector++) {
      const wrong = audit.model.unacceptable(sector, content[sector] as number);
      if (wrong !== null) {
        this.#ctx.fail('I1 nothing acknowledged is lost', `${audit.name}: ${where}: ${wrong}`);
        return;
      }
    }
  }

  /** Why a write may not reach the medium now, or null. */
  #unstable(life: Life, volume: number, record: VolumeRecord, tag: number): string | null {
    const truth = this.#see();
    const holds = (id: string): boolean => truth.diskOf(volume, id)?.everHeld.has(tag) ?? false;
    const named = namedStores(record);
    if (record.mirror === 'replaying') {
      if (record.owner?.incarnation === life.incarnation) return named.some(holds) ? null : 'no source store holds it';
      if (record.source === null) return null;
      if (record.source?.from === 'sole') return named.some(holds) ? null : "the owner's store does not hold it";
      return named.every(holds) ? null : 'not confirmed by both stores';
    }
    if (record.mirror === 'in-sync') return named.every(holds) ? null : 'not confirmed by both stores';
    return record.ownerStore !== null && holds(record.ownerStore) ? null : "the owner's store does not hold it";
  }

  /** Medium I/O is for the owner, for its claimant, and for the last owner while a claimant waits. */
  #authority(life: Life, volume: number, record: VolumeRecord, what: string): void {
    if (record.owner?.incarnation === life.incarnation) return;
    if (record.mirror === 'replaying' && record.holders.some((h) => h.incarnation === life.incarnation)) return;
    this.#ctx.fail(
      'I4 only the owner touches the medium',
      `${this.#volume(volume).name}: ${life.server} ${what} although ${record.owner?.server ?? 'nobody'} owns it (${record.mirror}, epoch ${record.epoch})`,
    );
  }

  #onMedium(volume: number, write: Write): boolean {
    const audit = this.#volume(volume);
    const platter = this.#see().device.platters[volume];
    const order = audit.orders.get(write.tag) ?? 0;
    for (let i = 0; i < write.count; i++) {
      const there = platter?.synced[write.first + i] ?? ZERO;
      if (there === write.tag) continue;
      if (there !== ZERO && (audit.orders.get(there) ?? 0) < order) return false;
    }
    return true;
  }

  #volume(index: number): VolumeAudit {
    return this.volumes[index] as VolumeAudit;
  }

  #see(): Truth {
    if (this.#truth === null) throw new Error('the auditor has not been shown the world');
    return this.#truth;
  }
}
