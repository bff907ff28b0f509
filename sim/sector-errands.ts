/** What clients of block volumes ask for: writes, zeroes, trims, reads, and how ranges are kept. */
import { NO_BYTES, NO_TIME } from '../src/base/operation.ts';
import type { Extent } from '../src/ports/medium.ts';
import type { ModifyRequest, ReadPiece, ReadRequest, StatusRequest } from '../src/ports/service.ts';
import type { Client, Errand, Wish } from './clients.ts';
import type { Context } from './context.ts';
import { fillTag, tagOf, wholeSector } from './disk.ts';
import type { ClientConnection, InService } from './doors.ts';
import { SECTOR, ZERO, type Write } from './model.ts';

export class SectorErrand implements Errand {
  readonly resend = null;
  readonly #client: Client;
  readonly #wish: Wish;

  constructor(client: Client, wish: Wish) {
    this.#client = client;
    this.#wish = wish;
  }

  run(connection: ClientConnection, finish: (again: boolean) => void): void {
    const wish = this.#wish;
    if (wish.kind === 'read') this.#read(connection, wish, finish);
    else if (wish.kind === 'status') this.#status(connection, wish, finish);
    else this.#modify(connection, wish, finish);
  }

  #modify(connection: ClientConnection, wish: Wish, finish: (again: boolean) => void): void {
    const { herd, plan } = this.#client;
    const model = herd.auditor.modelOf(plan.volume);
    const kind = wish.kind as ModifyRequest['kind'];
    const tag = kind === 'write' ? herd.drawTag() : ZERO;
    let data = NO_BYTES;
    if (kind === 'write') {
      data = Buffer.allocUnsafe(wish.count * SECTOR);
      fillTag(data, tag);
    }
    let write: Write | null = null;
    const entry = (fault: unknown): void => {
      const now = herd.ctx.now;
      const door = connection.door;
      connection.inService.delete(handle.current);
      if (write === null) return;
      herd.ctx.digest.number(tag);
      // Nobody is there to be promised anything.
      if (!connection.serverOpen) return;
      if (fault === null) {
        herd.auditor.answered(door.life, plan.volume, door.epoch);
        model.acknowledge(write, now);
        herd.ctx.tally.acknowledged++;
        herd.auditor.acknowledged(door.life, plan.volume, write);
        herd.ctx.hook('acknowledged', door.life.index);
      }
      if (herd.ctx.story !== null) {
        const end =
          fault === null ? 'acknowledged' : `refused: ${fault instanceof Error ? fault.message : 'without a reason'}`;
        herd.ctx.tell(
          'client',
          door.life.index,
          `client ${this.#client.index}: ${kind} ${tag} to sectors ${wish.first}+${wish.count} ${end}`,
        );
      }
      if (!connection.open) return;
      herd.ctx.after(herd.prng.latency(herd.street.latencyMs), () => {
        if (connection.open) finish(fault !== null);
      });
    };
    const request: ModifyRequest = {
      kind,
      target: '',
      offset: wish.first * SECTOR,
      length: wish.count * SECTOR,
      timeNs: NO_TIME,
      data,
      cancelled: false,
      done: once(herd.ctx, entry),
    };
    const handle = submitted(request, () => {
      if (write !== null && write.ackMs === Infinity) model.bound(write, herd.ctx.now);
    });
    herd.street.submit(connection, request, handle.current, () => {
      write = model.begin(tag, wish.first, wish.count, herd.ctx.now);
    });
  }

  #read(connection: ClientConnection, wish: Wish, finish: (again: boolean) => void): void {
    const { herd, plan } = this.#client;
    let beginMs = 0;
    const request: ReadRequest = {
      kind: 'read',
      target: '',
      offset: wish.first * SECTOR,
      length: wish.count * SECTOR,
      cancelled: false,
      done: once2(herd.ctx, (fault: unknown, pieces: readonly ReadPiece[] | null) => {
        const door = connection.door;
        connection.inService.delete(handle.current);
        if (!connection.serverOpen) return;
        if (fault !== null || pieces === null) {
          if (connection.open) herd.ctx.after(1, () => finish(true));
          return;
        }
        herd.auditor.answered(door.life, plan.volume, door.epoch);
        herd.ctx.tally.reads++;
        const tags = decode(herd.ctx, pieces, wish.count);
        this.#judge(beginMs, wish, tags, door.life.server);
        for (const tag of tags) herd.ctx.digest.number(tag);
        herd.ctx.after(herd.prng.latency(herd.street.latencyMs), () => {
          const later = decode(herd.ctx, pieces, wish.count);
          if (later.join() !== tags.join())
            herd.ctx.fail('data integrity', 'the bytes of a read changed after it was answered');
          if (connection.open) finish(false);
        });
      }),
    };
    const handle = submitted(request, () => undefined);
    herd.street.submit(connection, request, handle.current, () => {
      beginMs = herd.ctx.now;
    });
  }

  #status(connection: ClientConnection, wish: Wish, finish: (again: boolean) => void): void {
    const { herd, plan } = this.#client;
    let beginMs = 0;
    const request: StatusRequest = {
      kind: 'status',
      target: '',
      offset: wish.first * SECTOR,
      length: wish.count * SECTOR,
      cancelled: false,
      done: once2(herd.ctx, (fault: unknown, extents: readonly Extent[] | null) => {
        const door = connection.door;
        connection.inService.delete(handle.current);
        if (!connection.serverOpen) return;
        if (fault === null && extents !== null) {
          herd.auditor.answered(door.life, plan.volume, door.epoch);
          herd.ctx.tally.reads++;
          let at = wish.first * SECTOR;
          for (const extent of extents) {
            if (extent.offset !== at || extent.length <= 0)
              herd.ctx.fail('data integrity', `extents leave a gap at ${at}`);
            at = extent.offset + extent.length;
            if (!extent.hole) continue;
            // A hole is an answer: zeroes are what a read would have found.
            const count = extent.length / SECTOR;
            this.#judge(
              beginMs,
              { ...wish, first: extent.offset / SECTOR, count },
              Array.from({ length: count }, () => ZERO),
              door.life.server,
            );
          }
          if (at !== (wish.first + wish.count) * SECTOR) herd.ctx.fail('data integrity', `extents end at ${at}`);
        }
        if (connection.open) herd.ctx.after(1, () => finish(false));
      }),
    };
    const handle = submitted(request, () => undefined);
    herd.street.submit(connection, request, handle.current, () => {
      beginMs = herd.ctx.now;
    });
  }

  #judge(beginMs: number, wish: Wish, tags: readonly number[], server: string): void {
    const { herd, plan } = this.#client;
    if (herd.auditor.isReset(plan.volume)) return;
    const model = herd.auditor.modelOf(plan.volume);
    if (beginMs < model.era.beginMs) return;
    const wrong = model.read({ first: wish.first, beginMs, endMs: herd.ctx.now, tags });
    if (herd.ctx.story !== null) {
      herd.ctx.tell(
        'client',
        -1,
        `client ${this.#client.index}: ${wish.kind} of sectors ${wish.first}+${wish.count} found ${tags.join(' ')} at ${server}`,
      );
    }
    if (wrong !== null) {
      herd.ctx.fail(
        'I9 no stale read',
        `volume ${plan.volume}: a read (from ${beginMs.toFixed(2)}) answered by ${server}: ${wrong}`,
      );
    }
  }
}

/** What the connection knows of a request, to cancel it. */
function submitted(request: { cancelled: boolean }, onCancelled: () => void): { readonly current: InService } {
  return {
    current: {
      get cancelled() {
        return request.cancelled;
      },
      set cancelled(value: boolean) {
        request.cancelled = value;
      },
      onCancelled,
    },
  };
}

/** Each answer comes exactly once. */
function once(ctx: Context, run: (fault: unknown) => void): (fault: unknown) => void {
  let answered = false;
  return (fault) => {
    if (answered) ctx.fail('port contract', 'a request was answered twice');
    answered = true;
    run(fault);
  };
}
function once2<T>(ctx: Context, run: (fault: unknown, value: T) => void): (fault: unknown, value: T) => void {
  let answered = false;
  return (fault, value) => {
    if (answered) ctx.fail('port contract', 'a request was answered twice');
    answered = true;
    run(fault, value);
  };
}

/** The tags of a read's bytes, one per sector. */
function decode(ctx: Context, pieces: readonly ReadPiece[], sectors: number): number[] {
  const tags: number[] = [];
  let total = 0;
  for (const piece of pieces) {
    total += piece.length;
    if (piece.data !== null && piece.data.length !== piece.length)
      ctx.fail('data integrity', 'a piece is not as long as it says');
    for (let at = 0; at < piece.length; at += SECTOR) {
      if (piece.data === null) tags.push(ZERO);
      else {
        if (!wholeSector(piece.data, at))
          ctx.fail('data integrity', 'a read mixes the bytes of several writes in one sector');
        tags.push(tagOf(piece.data, at));
      }
    }
  }
  if (total !== sectors * SECTOR) ctx.fail('data integrity', `a read of ${sectors} sectors got ${total} bytes`);
  return tags;
}
