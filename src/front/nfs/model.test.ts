/**
 * Random requests: one after the other against a model of a file system, while data are destaged, caches are too small,
 * and the volume is taken over; and many at once, after which what is remembered has to be what is there.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FilesCaller, NOTHING, mode } from '../../../suites/files-caller.ts';
import { FilesModel, type ModelNode } from '../../../suites/files-model.ts';
import { MemoryFiles } from '../../../suites/memory-files.ts';

const names = fc.constantFrom('a', 'b', 'c');
/** Which of the known objects: taken modulo their number, so that it shrinks. */
const which = fc.nat(30);
const size = fc.nat(9000);

const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('create' as const), at: which, name: names }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('mkdir' as const), at: which, name: names }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('symlink' as const), at: which, name: names }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('write' as const), at: which, offset: size, length: size }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('look' as const), at: which }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('truncate' as const), at: which, size }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('change' as const), at: which, mode: fc.nat(0o777) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), at: which, name: names }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('rmdir' as const), at: which, name: names }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('link' as const), at: which, to: which, name: names }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('rename' as const), at: which, name: names, to: which, toName: names }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('lookup' as const), at: which, name: fc.oneof(names, fc.constant('..')) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('list' as const), at: which, bytes: fc.integer({ min: 400, max: 1200 }) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('destage' as const), most: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('takeover' as const) }) },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

interface Known {
  readonly handle: Buffer;
  readonly node: ModelNode;
}

class Run {
  readonly model = new FilesModel();
  caller: FilesCaller;
  readonly #known: Known[] = [];
  #written = 0;

  constructor() {
    this.caller = new FilesCaller(new MemoryFiles(), SMALL);
  }

  async open(): Promise<void> {
    await this.caller.open();
    if (this.#known.length === 0) this.#known.push({ handle: this.caller.root, node: this.model.root });
    assert.deepEqual(this.caller.root, this.#known[0]?.handle);
  }

  #pick(at: number): Known {
    const known = this.#known[at % this.#known.length];
    assert.ok(known !== undefined);
    return known;
  }

  async step(a: Action): Promise<void> {
    const { caller, model } = this;
    switch (a.do) {
      case 'create':
      case 'mkdir':
      case 'symlink':
        return this.#make(a.do, this.#pick(a.at), a.name);
      case 'write': {
        const { handle, node } = this.#pick(a.at);
        this.#written += 1;
        const data = Buffer.alloc(a.length, 1 + (this.#written % 255));
        const got = await caller.write(handle, a.offset, data);
        assert.equal(got.status, model.write(node, a.offset, data));
        return;
      }
      case 'look':
        return this.#look(this.#pick(a.at));
      case 'truncate': {
        const { handle, node } = this.#pick(a.at);
        const got = await caller.setattr(handle, { sizeBytes: a.size });
        assert.equal(got.status, model.truncate(node, a.size));
        return;
      }
      case 'change': {
        const { handle, node } = this.#pick(a.at);
        const got = await caller.setattr(handle, { mode: a.mode, mtime: BigInt(a.mode) });
        assert.equal(got.status, model.change(node, a.mode, BigInt(a.mode)));
        return;
      }
      case 'remove': {
        const { handle, node } = this.#pick(a.at);
        assert.equal((await caller.remove(handle, a.name)).status, model.remove(node, a.name, false));
        return;
      }
      case 'rmdir': {
        const { handle, node } = this.#pick(a.at);
        assert.equal((await caller.rmdir(handle, a.name)).status, model.remove(node, a.name, true));
        return;
      }
      case 'link': {
        const from = this.#pick(a.at);
        const to = this.#pick(a.to);
        const got = await caller.link(from.handle, to.handle, a.name);
        assert.equal(got.status, model.link(from.node, to.node, a.name));
        return;
      }
      case 'rename': {
        const from = this.#pick(a.at);
        const to = this.#pick(a.to);
        const got = await caller.rename(from.handle, a.name, to.handle, a.toName);
        assert.equal(got.status, model.rename(from.node, a.name, to.node, a.toName));
        return;
      }
      case 'lookup': {
        const { handle, node } = this.#pick(a.at);
        const got = await caller.lookup(handle, a.name);
        const expected = model.lookup(node, a.name);
        if (typeof expected === 'number') return assert.equal(got.status, expected);
        assert.ok(got.status === 0);
        const known = this.#known.find((one) => one.node === expected);
        assert.deepEqual(got.handle, known?.handle);
        return;
      }
      case 'list':
        return this.#list(this.#pick(a.at), a.bytes);
      case 'destage':
        return caller.service.destage(a.most);
      case 'takeover':
        caller.program.end('taken over');
        this.caller = new FilesCaller(new MemoryFiles(caller.service.remains(0)), SMALL);
        return this.open();
    }
  }

  async #make(what: 'create' | 'mkdir' | 'symlink', { handle, node }: Known, name: string): Promise<void> {
    const { caller } = this;
    const how = { mode: 'guarded', attributes: mode(0o640) } as const;
    const directory = handle;
    const asked = { directory, name: Buffer.from(name) };
    const got =
      what === 'create'
        ? await caller.send({ ...asked, procedure: 'create', how })
        : what === 'mkdir'
          ? await caller.send({ ...asked, procedure: 'mkdir', attributes: mode(0o750) })
          : await caller.symlink(directory, name, 'to');
    const type = what === 'create' ? 'file' : what === 'mkdir' ? 'directory' : 'symlink';
    const bits = { create: 0o640, mkdir: 0o750, symlink: 0o777 }[what];
    const made = this.model.make(node, name, type, bits);
    if (typeof made === 'number') return assert.equal(got.status, made);
    assert.ok(got.status === 0 && got.handle !== null);
    this.#known.push({ handle: got.handle, node: made });
  }

  async #look({ handle, node }: Known): Promise<void> {
    const got = await this.caller.getattr(handle);
    if (node.links === 0) return assert.equal(got.status, 70);
    assert.ok(got.status === 0);
    const { attributes } = got;
    assert.deepEqual([attributes.type, attributes.mode, attributes.links], [node.type, node.mode, node.links]);
    if (node.mtimeNs !== null && node.type === 'file') assert.equal(attributes.mtimeNs, node.mtimeNs);
    if (node.type !== 'file') return;
    assert.equal(attributes.sizeBytes, node.data.length);
    const bytes = await this.caller.read(handle);
    assert.ok(bytes.status === 0 && bytes.eof);
    assert.ok(Buffer.concat(bytes.pieces.map(({ data, length }) => data ?? Buffer.alloc(length))).equals(node.data));
  }

  async #list({ handle, node }: Known, bytes: number): Promise<void> {
    const found = new Map<string, Buffer | null>();
    for (let cookie = 0n, verifier = 0n; ;) {
      const asked = { handle, cookie, verifier, dirCount: bytes, maxCount: bytes };
      const got = await this.caller.send({ procedure: 'readdirplus', ...asked });
      const expected = node.links === 0 ? 70 : node.type === 'directory' ? 0 : 20;
      assert.equal(got.status, expected);
      if (got.status !== 0) return;
      for (const entry of got.entries) {
        assert.ok(!found.has(entry.name.toString()), 'a name is listed once');
        found.set(entry.name.toString(), entry.handle);
        cookie = entry.cookie;
      }
      verifier = got.verifier;
      if (got.eof) break;
    }
    assert.deepEqual([...found.keys()].sort(), ['.', '..', ...node.names.keys()].sort());
    for (const [name, child] of node.names)
      assert.deepEqual(found.get(name), this.#known.find((one) => one.node === child)?.handle);
  }
}

const SMALL = { caches: { inodes: 4, names: 4 } };

test('random requests do what a file system does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 60, size: 'max' }), async (actions) => {
      const run = new Run();
      await run.open();
      for (const one of actions) await run.step(one);
    }),
    { numRuns: 60 },
  );
});

test('whatever runs at once, what is remembered is what is there', async () => {
  const batch = fc.array(action, { minLength: 5, maxLength: 25, size: 'max' });
  await fc.assert(
    fc.asyncProperty(fc.array(batch, { minLength: 1, maxLength: 5 }), fc.boolean(), async (batches, small) => {
      const service = new MemoryFiles();
      const caller = await new FilesCaller(service, small ? SMALL : {}).open();
      const handles = [caller.root];
      const handle = (at: number): Buffer => handles[at % handles.length] ?? caller.root;
      const made = (got: { readonly status: number; readonly handle?: Buffer | null }): void => {
        if (got.status === 0 && got.handle !== null && got.handle !== undefined) handles.push(got.handle);
      };
      for (const actions of batches) {
        await Promise.all(actions.map((one) => send(caller, one, handle).then(made)));
        await same(caller, handles);
      }
    }),
    { numRuns: 60, includeErrorInReport: true },
  );
});

/** Sends one action; whatever it comes to is right, as long as it is answered. */
async function send(
  caller: FilesCaller,
  a: Action,
  handle: (at: number) => Buffer,
): Promise<{ readonly status: number; readonly handle?: Buffer | null }> {
  switch (a.do) {
    case 'create':
      return caller.create(handle(a.at), a.name);
    case 'mkdir':
      return caller.send({
        procedure: 'mkdir',
        directory: handle(a.at),
        name: Buffer.from(a.name),
        attributes: mode(0o755),
      });
    case 'symlink':
      return caller.symlink(handle(a.at), a.name, 'to');
    case 'write':
      return caller.write(handle(a.at), a.offset, Buffer.alloc(a.length, 1));
    case 'look':
      return caller.read(handle(a.at));
    case 'truncate':
      return caller.setattr(handle(a.at), { sizeBytes: a.size });
    case 'change':
      return caller.setattr(handle(a.at), { mode: a.mode });
    case 'remove':
      return caller.remove(handle(a.at), a.name);
    case 'rmdir':
      return caller.rmdir(handle(a.at), a.name);
    case 'link':
      return caller.link(handle(a.at), handle(a.to), a.name);
    case 'rename':
      return caller.rename(handle(a.at), a.name, handle(a.to), a.toName);
    case 'lookup':
      return { status: (await caller.lookup(handle(a.at), a.name)).status };
    case 'list': {
      const asked = { handle: handle(a.at), cookie: 0n, verifier: 0n, dirCount: a.bytes, maxCount: a.bytes };
      return { status: (await caller.send({ procedure: 'readdirplus', ...asked })).status };
    }
    case 'destage':
      caller.service.destage(a.most);
      return { status: 0 };
    case 'takeover':
      return caller.send({ procedure: 'setattr', handle: caller.root, change: NOTHING, guardNs: null });
  }
}

/** The program and one that was opened just now say the same of every object and every name. */
async function same(caller: FilesCaller, handles: readonly Buffer[]): Promise<void> {
  const fresh = await new FilesCaller(caller.service).open();
  for (const handle of new Set(handles)) {
    const [mine, theirs] = [await caller.getattr(handle), await fresh.getattr(handle)];
    assert.equal(mine.status, theirs.status);
    if (mine.status !== 0 || theirs.status !== 0) continue;
    const { type } = mine.attributes;
    const compared = ({ mode: bits, links, sizeBytes, mtimeNs }: typeof mine.attributes): unknown[] =>
      type === 'file' ? [type, bits, links, sizeBytes, mtimeNs] : [type, bits, links, sizeBytes];
    assert.deepEqual(compared(mine.attributes), compared(theirs.attributes));
    if (type === 'file') assert.equal(await caller.text(handle), await fresh.text(handle));
    if (type !== 'directory') continue;
    for (const name of ['a', 'b', 'c', '..']) {
      const [here, there] = [await caller.lookup(handle, name), await fresh.lookup(handle, name)];
      assert.equal(here.status, there.status, name);
      if (here.status === 0 && there.status === 0) assert.deepEqual(here.handle, there.handle, name);
    }
  }
}
