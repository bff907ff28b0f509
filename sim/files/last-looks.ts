/** The last look at a files volume: every name, every object, as its owner shows it, and as it lies on the medium. */
import type { NfsArguments } from '../../src/wire/nfs/types.ts';
import type { NfsResult } from '../../src/wire/nfs/results.ts';
import type { World } from '../world.ts';
import { idIn } from './deeds.ts';
import type { Front } from './front.ts';
import { CELL, type FilesPlatter, sizeAt } from './platter.ts';

/** `done` once everything was looked at, first as the front end knows it, then afresh from the medium. */
export function lastLooks(world: World, front: Front, done: () => void): void {
  new LastLook(world, front, () => {
    const fresh = front.afresh();
    fresh.open((fault) => {
      if (fault !== null) return world.ctx.fail('I12 everything serves again', `the last look: ${fault.message}`);
      new LastLook(world, fresh, () => {
        fresh.end();
        done();
      }).start();
    });
  }).start();
}

class LastLook {
  readonly #world: World;
  readonly #front: Front;
  readonly #platter: FilesPlatter;
  readonly #done: () => void;
  readonly #seen = new Set<string>();
  #left = 0;
  #xid = 0x7000_0000;

  constructor(world: World, front: Front, done: () => void) {
    this.#world = world;
    this.#front = front;
    this.#platter = world.device.files[front.volume] as FilesPlatter;
    this.#done = done;
  }

  start(): void {
    const volatile = this.#platter.versions.length;
    if (volatile > 0) this.#wrong(`${volatile} changes of the tree are not durable`);
    this.#left = 1;
    this.#front.rootHandle((handle) => {
      this.#directory(handle);
      this.#end();
    });
  }

  #end(): void {
    this.#left--;
    if (this.#left > 0) return;
    const lost = [...this.#platter.durable.keys()].find((id) => !this.#seen.has(id));
    if (lost !== undefined) this.#wrong(`${lost} is on the medium, and under no name`);
    this.#done();
  }

  #wrong(text: string): void {
    this.#world.ctx.fail('the medium equals the volume', `v${this.#front.volume}: ${text}`);
  }

  #ask(asked: NfsArguments, then: (result: NfsResult) => void): void {
    this.#left++;
    const caller = { client: 99, port: 1023, xid: this.#xid++, isGone: () => false };
    this.#front.call(asked, null, caller, (result) => {
      if (result !== null) then(result);
      this.#end();
    });
  }

  #directory(handle: Buffer): void {
    const id = idIn(handle);
    const node = this.#platter.durable.get(id);
    if (this.#seen.has(id) || node === undefined) return this.#wrong(`${id} is listed and not on the medium`);
    this.#seen.add(id);
    const all = { cookie: 0n, verifier: 0n, dirCount: 8192, maxCount: 65_536 };
    this.#ask({ procedure: 'readdirplus', handle, ...all }, (result) => {
      if (result.procedure !== 'readdirplus' || !('entries' in result)) return this.#wrong(`${id} cannot be listed`);
      const found = new Map<string, string>();
      for (const { name, handle: at, attributes } of result.entries) {
        const text = name.toString('latin1');
        if (text === '.' || text === '..') continue;
        if (at === null || attributes === null) return this.#wrong(`${id}/${text} is listed without its attributes`);
        found.set(text, idIn(at));
        if (attributes.type === 'directory') this.#directory(at);
        else if (attributes.type === 'file') this.#file(at);
        else this.#seen.add(idIn(at));
      }
      const there = [...node.entries].map(([name, entry]) => `${name}=${entry.id}`);
      const listed = [...found].map(([name, at]) => `${name}=${at}`);
      if (there.sort().join() !== listed.sort().join())
        this.#wrong(`${id} lists ${listed.join(' ')}, on the medium are ${there.join(' ')}`);
    });
  }

  #file(handle: Buffer): void {
    const id = idIn(handle);
    this.#seen.add(id);
    const object = this.#platter.objects.get(id);
    if (object === undefined) return this.#wrong(`${id} has a name and is gone`);
    this.#ask({ procedure: 'read', handle, offset: 0, count: this.#platter.cells * CELL }, (result) => {
      if (result.procedure !== 'read' || !('pieces' in result) || result.attributes === null)
        return this.#wrong(`${id} cannot be read: ${'status' in result ? result.status : ''}`);
      const { sizeBytes, mtimeNs } = result.attributes;
      const at = sizeAt(object);
      const there = Array.from(object.synced.subarray(0, object.synced[at] as number));
      const bytes = Buffer.concat(result.pieces.map(({ data, length }) => data ?? Buffer.alloc(length)));
      const tags = there.map((_, cell) => (bytes.length > cell * CELL ? bytes.readUInt32LE(cell * CELL) : -1));
      const time = this.#platter.knownTime(id, Number(mtimeNs));
      const shown = `${sizeBytes / CELL} cells of time ${time}: ${tags.join()}`;
      const kept = `${object.synced[at]} cells of time ${object.synced[at + 1]}: ${there.join()}`;
      if (shown !== kept) this.#wrong(`${id} is shown with ${shown}; the medium has ${kept}`);
    });
  }
}
