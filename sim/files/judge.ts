/**
 * What is demanded of each answer of a files volume: an order of all requests explains it. Of the tree by the states that
 * the device was in (`history.ts`), of bytes, sizes and times by their own models (`model.ts`); of what must happen once, by
 * counting on the device; of handles, that each means one object for ever.
 */
import {
  NfsStatus,
  type Fattr3,
  type NfsArguments,
  type PostOpAttributes,
  type WccData,
} from '../../src/wire/nfs/types.ts';
import type { NfsResult } from '../../src/wire/nfs/results.ts';
import type { ObjectId } from '../../src/ports/tree.ts';
import { describe, idIn, isMaking, type Deed } from './deeds.ts';
import type { Front } from './front.ts';
import { CELL } from './platter.ts';
import { ROOT, type Node, type Tree } from './tree-state.ts';

/** What a client is told and must not be told, as a sentence; null: all is well. */
type Verdict = string | null;

export const idOf = ({ fileNumber }: Pick<Fattr3, 'fileNumber'>): ObjectId =>
  fileNumber === 1n ? ROOT : `o${fileNumber}`;

const entryAt = (tree: Tree, handle: Buffer, name: Buffer): ObjectId | undefined =>
  tree.get(idIn(handle))?.entries.get(name.toString('latin1'))?.id;
const nodeAt = (tree: Tree, handle: Buffer, name: Buffer): Node | undefined =>
  tree.get(entryAt(tree, handle, name) ?? '');

/** One answer, about to be sent. */
export class Answer {
  readonly #front: Front;
  readonly #asked: NfsArguments;
  readonly #deed: Deed | null;
  readonly #result: NfsResult;
  readonly #beginMs: number;
  readonly #nowMs: number;

  constructor(front: Front, asked: NfsArguments, deed: Deed | null, result: NfsResult, beginMs: number) {
    this.#front = front;
    this.#asked = asked;
    this.#deed = deed;
    this.#result = result;
    // What is kept was true at some time since it was asked for first.
    this.#beginMs = deed?.isRecorded === true ? deed.beginMs : beginMs;
    this.#nowMs = front.world.ctx.now;
  }

  judge(): { readonly rule: string; readonly text: string } | null {
    const once = this.#once();
    if (once !== null) return { rule: 'exactly once', text: once };
    const wrong = this.#status() ?? this.#shown();
    return wrong === null ? null : { rule: 'the tree as clients see it', text: `${this.#text()}: ${wrong}` };
  }

  #text(): string {
    return this.#deed === null ? `${this.#asked.procedure}` : describe(this.#deed);
  }

  #shows(text: string, holds: (tree: Tree) => boolean): boolean {
    return this.#front.files.shows(this.#beginMs, this.#nowMs, `${this.#text()}: ${text}`, holds);
  }

  /** Not shown to a client as such: a reason, not an answer. */
  #was(holds: (tree: Tree) => boolean): boolean {
    return this.#front.files.history.find(this.#beginMs, this.#nowMs, holds) !== null;
  }

  // ---- exactly once

  #once(): Verdict {
    const deed = this.#deed;
    const { files, world } = this.#front;
    if (deed === null || files.off || !('status' in this.#result)) return null;
    const { status } = this.#result;
    const id = 'handle' in this.#result && this.#result.handle ? idIn(this.#result.handle) : null;
    const before = deed.outcome;
    const text = describe(deed);
    if (deed.sendings > 1) world.ctx.tally.repeated++;
    if (deed.isRecorded && before?.status === NfsStatus.ok && (status !== NfsStatus.ok || id !== before.id))
      return `${text} was answered ok ${before.id ?? ''} and then ${status} ${id ?? ''}`;
    if (before === null || before.status !== NfsStatus.ok) deed.outcome = { status, id };
    deed.answeredMs = Math.min(deed.answeredMs, this.#nowMs);
    if (status !== NfsStatus.ok) {
      // Some of it may have been done: the size of what was made was too much, or nobody could find out.
      const partly = status === NfsStatus.nospc || status === NfsStatus.io || status === NfsStatus.stale;
      return deed.effects > 0 && deed.isRecorded && !partly
        ? `${text} was answered ${status} and has taken effect`
        : null;
    }
    if (deed.effects > 1 && deed.asked.procedure !== 'setattr') return `${text} took effect ${deed.effects} times`;
    if (deed.effects === 0 && this.#mustHaveEffect(deed)) return `${text} was answered ok and has not taken effect`;
    if (isMaking(deed) && deed.effects > 0 && id !== deed.made) return `${text} made ${deed.made} and gave ${id}`;
    return null;
  }

  #mustHaveEffect({ asked }: Deed): boolean {
    if (asked.procedure === 'create') return asked.how.mode !== 'unchecked';
    if (asked.procedure === 'setattr') return asked.change.uid !== null;
    if (asked.procedure !== 'rename') return true;
    const { from, to } = asked;
    return !this.#was((tree) => {
      const id = entryAt(tree, from.directory, from.name);
      return id !== undefined && id === entryAt(tree, to.directory, to.name);
    });
  }

  // ---- the status

  #status(): Verdict {
    const result = this.#result;
    if (!('status' in result)) return null;
    if (result.status === NfsStatus.ok) return this.#ok();
    // The medium was full, or in trouble for long.
    if (result.status === NfsStatus.nospc || result.status === NfsStatus.io) return null;
    const reasons = reasonsOf(this.#asked, result.status);
    if (reasons === null) return `nobody expected ${result.status}`;
    if (reasons.some((holds) => this.#shows(`answered ${result.status}`, holds))) return null;
    return `answered ${result.status}, which it never was`;
  }

  #ok(): Verdict {
    const result = this.#result;
    const asked = this.#asked;
    if (result.procedure === 'lookup' && asked.procedure === 'lookup' && result.status === NfsStatus.ok) {
      const id = idIn(result.handle);
      if (this.#shows(`is ${id}`, (tree) => entryAt(tree, asked.directory, asked.name) === id)) return null;
      return `found ${id}, which it never was`;
    }
    if (result.procedure === 'readlink' && asked.procedure === 'readlink' && result.status === NfsStatus.ok) {
      const { to } = result;
      return this.#was((tree) => tree.get(idIn(asked.handle))?.to.equals(to) === true) ? null : 'another target';
    }
    if (
      result.procedure === 'create' &&
      asked.procedure === 'create' &&
      this.#deed?.effects === 0 &&
      'handle' in result
    ) {
      const id = result.handle === null ? '' : idIn(result.handle);
      if (this.#shows(`is ${id}`, (tree) => entryAt(tree, asked.directory, asked.name) === id)) return null;
      return `found ${id}, which it never was`;
    }
    if (result.procedure === 'readdirplus') return this.#listed();
    if (result.procedure === 'read' && asked.procedure === 'read' && result.status === NfsStatus.ok) {
      const { attributes, count, eof } = result;
      const size = attributes?.sizeBytes ?? 0;
      const end = asked.offset + count;
      const right = count === Math.max(0, Math.min(asked.count, size - asked.offset)) && eof === end >= size;
      return right ? null : `${count} bytes from ${asked.offset} on of ${size}${eof ? ', and the end' : ''}`;
    }
    if (result.procedure === 'setattr' && asked.procedure === 'setattr') return this.#guarded(result.wcc);
    if (result.procedure === 'write' && 'wcc' in result) return this.#written(result.wcc);
    return null;
  }

  #guarded({ before }: WccData): Verdict {
    const guard = this.#asked.procedure === 'setattr' ? this.#asked.guardNs : null;
    if (guard === null || before === null || before.ctimeNs === guard) return null;
    return `guarded by ctime ${guard}, it was carried out at ${before.ctimeNs}`;
  }

  /** wcc data is exact: what was before is what the change before left. */
  #written({ before, after }: WccData): Verdict {
    if (before === null || after === null || this.#asked.procedure !== 'write') return null;
    const file = this.#front.files.file(idIn(this.#asked.handle));
    const left = file.predecessor(Number(after.mtimeNs), this.#front.epoch);
    if (left === null || left === Number(before.mtimeNs)) return null;
    return `wcc says that ${before.mtimeNs} was there before ${after.mtimeNs}, which was ${left}`;
  }

  /** Every name was there at some time, as what it is said to be; none that was there all the time is missing. */
  #listed(): Verdict {
    const result = this.#result;
    const asked = this.#asked;
    if (result.procedure !== 'readdirplus' || asked.procedure !== 'readdirplus' || !('entries' in result)) return null;
    const directory = idIn(asked.handle);
    const listed = new Set<string>();
    for (const { name, handle, fileNumber } of result.entries) {
      const text = name.toString('latin1');
      if (listed.has(text)) return `lists ${text} twice`;
      listed.add(text);
      if (text === '.' || text === '..') continue;
      const id = handle === null ? null : idIn(handle);
      const isThere = this.#shows(`lists ${text}`, (tree) => {
        const at = entryAt(tree, asked.handle, name);
        return at !== undefined && (id === null || at === id);
      });
      if (!isThere) return `lists ${text} as ${id ?? fileNumber}, which it never was`;
    }
    if (!result.eof || asked.cookie !== 0n) return null;
    let always: string[] | null = null;
    for (const tree of this.#front.files.history.all(this.#beginMs, this.#nowMs)) {
      const names = tree.get(directory)?.entries;
      always = always === null ? [...(names?.keys() ?? [])] : always.filter((name) => names?.has(name) === true);
    }
    const lost = always?.find((name) => !listed.has(name));
    return lost === undefined ? null : `does not list ${lost}, which was there all the time`;
  }

  // ---- what is shown of objects

  #shown(): Verdict {
    const result = this.#result;
    const { procedure } = result;
    const at = 'handle' in this.#asked ? idIn(this.#asked.handle) : null;
    const all: (Verdict | undefined)[] = [];
    if ('attributes' in result) {
      const id = 'handle' in result && result.handle ? idIn(result.handle) : procedure === 'lookup' ? null : at;
      all.push(this.#object(result.attributes, id));
    }
    if ('wcc' in result) all.push(this.#wcc(result.wcc, at));
    const parent = 'directory' in this.#asked ? idIn(this.#asked.directory) : null;
    if ('directory' in result && result.directory !== null)
      all.push(
        'after' in result.directory ? this.#wcc(result.directory, parent) : this.#object(result.directory, parent),
      );
    if (result.procedure === 'rename' && this.#asked.procedure === 'rename') {
      all.push(this.#wcc(result.from, idIn(this.#asked.from.directory)));
      all.push(this.#wcc(result.to, idIn(this.#asked.to.directory)));
    }
    if ('entries' in result && result.procedure === 'readdirplus')
      for (const { attributes, handle } of result.entries)
        all.push(this.#object(attributes, handle === null ? null : idIn(handle)));
    return all.find((verdict) => verdict !== null && verdict !== undefined) ?? null;
  }

  #wcc({ before, after }: WccData, id: ObjectId | null): Verdict {
    if (before !== null && id !== null && after?.type === 'file') {
      const wrong = this.#bytes(id, before.sizeBytes, before.mtimeNs);
      if (wrong !== null) return `wcc: ${wrong}`;
    }
    return this.#object(after, id);
  }

  #object(attributes: PostOpAttributes, id: ObjectId | null): Verdict {
    if (attributes === null) return null;
    const { type, mode, uid, gid, links, sizeBytes, mtimeNs, ctimeNs } = attributes;
    const is = idOf(attributes);
    if (id !== null && is !== id) return `shows ${is} under a handle of ${id}`;
    const text = `${is} is shown with mode ${mode.toString(8)}, owner ${uid}:${gid} and ${links} links`;
    const holds = (tree: Tree): boolean => {
      const node = tree.get(is);
      if (node?.type !== type) return false;
      return node.mode === mode && node.uid === uid && node.gid === gid && node.links === links;
    };
    // What went is shown once more, without links.
    if (links > 0 && !this.#shows(text, holds)) return `${text}, which it never was`;
    if (type !== 'file') return null;
    const value = `${sizeBytes} ${mtimeNs}`;
    const { shownAt } = this.#front;
    const key = `${is} ${ctimeNs}`;
    if ((shownAt.get(key) ?? value) !== value)
      return `${is} has the ctime ${ctimeNs} with size and time ${value}, and had it with ${shownAt.get(key)}`;
    shownAt.set(key, value);
    return this.#bytes(is, sizeBytes, mtimeNs);
  }

  #bytes(id: ObjectId, sizeBytes: number, mtimeNs: bigint): Verdict {
    const { files, world, volume } = this.#front;
    if (world.auditor.isReset(volume)) return null;
    const time = files.knownTime(id, Number(mtimeNs));
    const wrong = files.file(id).looked(sizeBytes / CELL, time, this.#beginMs, this.#nowMs);
    return wrong === null ? null : `${id} is ${wrong}`;
  }
}

/** What may be the reason of that status, one of them; null: nothing. */
function reasonsOf(asked: NfsArguments, status: number): readonly ((tree: Tree) => boolean)[] | null {
  const handles = handlesOf(asked);
  if (status === NfsStatus.stale) return handles.map((handle) => (tree) => !tree.has(idIn(handle)));
  if (status === NfsStatus.notSync)
    return asked.procedure === 'setattr' && asked.guardNs !== null ? [() => true] : null;
  if (asked.procedure === 'rename') {
    const { from, to } = asked;
    const source = (tree: Tree): Node | undefined => nodeAt(tree, from.directory, from.name);
    const target = (tree: Tree): Node | undefined => nodeAt(tree, to.directory, to.name);
    if (status === NfsStatus.noent) return [(tree) => source(tree) === undefined];
    if (status === NfsStatus.notempty) return [(tree) => (target(tree)?.entries.size ?? 0) > 0];
    if (status === NfsStatus.isdir) return [(tree) => target(tree)?.type === 'directory'];
    if (status === NfsStatus.notdir) return [(tree) => source(tree)?.type === 'directory'];
    return status === NfsStatus.inval ? [(tree) => source(tree)?.type === 'directory'] : null;
  }
  if (!('directory' in asked)) return null;
  const node = (tree: Tree): Node | undefined => nodeAt(tree, asked.directory, asked.name);
  if (status === NfsStatus.noent) return [(tree) => node(tree) === undefined];
  if (status === NfsStatus.exist) return [(tree) => node(tree) !== undefined];
  if (status === NfsStatus.notempty) return [(tree) => (node(tree)?.entries.size ?? 0) > 0];
  if (status === NfsStatus.isdir) return [(tree) => node(tree)?.type === 'directory'];
  if (status === NfsStatus.notdir) return [(tree) => node(tree) !== undefined && node(tree)?.type !== 'directory'];
  return null;
}

function handlesOf(asked: NfsArguments): Buffer[] {
  if (asked.procedure === 'rename') return [asked.from.directory, asked.to.directory];
  const handles: Buffer[] = [];
  if ('handle' in asked) handles.push(asked.handle);
  if ('directory' in asked) handles.push(asked.directory);
  return handles;
}
