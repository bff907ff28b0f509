/**
 * Three clients work at once in one directory, each on names of its own, while one server after the other dies under them.
 * Each sends what was not answered again; every answer has to be what it would be had nobody died.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { FilesCaller, mode } from '../../../../suites/files-caller.ts';
import { FilesModel, type ModelNode } from '../../../../suites/files-model.ts';
import { MemoryFiles } from '../../../../suites/memory-files.ts';
import { decodeResult } from '../../../wire/nfs/table.ts';
import type { NfsArguments } from '../../../wire/nfs/types.ts';

const names = fc.constantFrom('a', 'b');
const action = fc.record({
  do: fc.constantFrom(
    'create',
    'create',
    'take',
    'mkdir',
    'mkdir',
    'remove',
    'rmdir',
    'rename',
    'rename',
    'link',
    'cut',
    'write',
  ),
  name: names,
  to: names,
});
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

/** The servers, one after the other; each dies after so many steps, the last one lives. */
class Servers {
  caller: FilesCaller;
  readonly #deaths: number[];
  readonly #lost: boolean;
  #next: Promise<void> | null = null;
  #over = false;

  constructor(deaths: readonly number[], lost: boolean) {
    this.#deaths = [...deaths];
    this.#lost = lost;
    this.caller = new FilesCaller(new MemoryFiles());
  }

  async open(): Promise<this> {
    await this.caller.open();
    const steps = this.#deaths.shift();
    if (steps !== undefined) this.caller.service.dieAt(this.caller.service.steps + steps);
    return this;
  }

  /** Sends a request until it is answered. */
  async ask(asked: NfsArguments, xid: number, address: string): Promise<Buffer> {
    for (;;) {
      const { caller } = this;
      const answer = await Promise.race([caller.raw(asked, { xid, address }), this.#deathOf(caller)]);
      if (answer !== null) return answer;
      this.#next ??= this.#takeOver();
      await this.#next;
    }
  }

  async #deathOf({ service }: FilesCaller): Promise<null> {
    while (!service.dead && !this.#over) await turn();
    // What was on its way when it died is answered by now, or never.
    for (let turns = 0; turns < 10; turns += 1) await turn();
    return null;
  }

  /** Nobody waits for a death any more. */
  end(): void {
    this.#over = true;
  }

  async #takeOver(): Promise<void> {
    for (let turns = 0; turns < 20; turns += 1) await turn();
    this.caller.program.end('it died');
    const remains = this.caller.service.remains(this.#lost ? Infinity : 0);
    this.caller = new FilesCaller(new MemoryFiles(remains));
    await this.open();
    this.#next = null;
  }
}

class Client {
  readonly #servers: Servers;
  readonly #model: FilesModel;
  readonly #address: string;
  readonly #handles = new Map<ModelNode, Buffer>();
  #xid = 0;

  constructor(servers: Servers, model: FilesModel, address: string) {
    this.#servers = servers;
    this.#model = model;
    this.#address = address;
  }

  async #send(asked: NfsArguments): Promise<{ readonly status: number; readonly handle?: Buffer | null }> {
    this.#xid += 1;
    const bytes = await this.#servers.ask(asked, this.#xid, this.#address);
    const result = decodeResult(asked.procedure, bytes);
    assert.ok(result !== null && 'status' in result);
    return result;
  }

  async step(a: Action): Promise<void> {
    const model = this.#model;
    const { root } = model;
    const directory = this.#servers.caller.root;
    const mine = `${a.name}${this.#address}`;
    const name = Buffer.from(mine);
    switch (a.do) {
      case 'create': {
        const how = { mode: 'guarded', attributes: mode(0o600) } as const;
        return this.#made(model.make(root, mine, 'file', 0o600), { procedure: 'create', directory, name, how });
      }
      // It is made, or taken as it is.
      case 'take': {
        const found = model.lookup(root, mine);
        const there = typeof found === 'number' ? null : found.type === 'file' ? found : 17;
        const how = { mode: 'unchecked', attributes: mode(0o600) } as const;
        const asked: NfsArguments = { procedure: 'create', directory, name, how };
        return this.#made(there ?? model.make(root, mine, 'file', 0o600), asked);
      }
      case 'mkdir': {
        const attributes = mode(0o700);
        return this.#made(model.make(root, mine, 'directory', 0o700), {
          procedure: 'mkdir',
          directory,
          name,
          attributes,
        });
      }
      case 'remove':
      case 'rmdir': {
        const status = model.remove(root, mine, a.do === 'rmdir');
        assert.equal((await this.#send({ procedure: a.do, directory, name })).status, status);
        return;
      }
      case 'rename': {
        const other = `${a.to}${this.#address}`;
        const status = model.rename(root, mine, root, other);
        const to = { directory, name: Buffer.from(other) };
        assert.equal((await this.#send({ procedure: 'rename', from: { directory, name }, to })).status, status);
        return;
      }
      case 'link': {
        const node = model.lookup(root, mine);
        if (typeof node === 'number') return;
        const other = `${a.to}${this.#address}`;
        const handle = this.#handles.get(node);
        assert.ok(handle !== undefined);
        const status = model.link(node, root, other);
        const asked = { procedure: 'link', handle, directory, name: Buffer.from(other) } as const;
        assert.equal((await this.#send(asked)).status, status);
        return;
      }
      case 'cut':
      case 'write': {
        const node = model.lookup(root, mine);
        if (typeof node === 'number') return;
        const handle = this.#handles.get(node);
        assert.ok(handle !== undefined);
        const data = Buffer.from(`${this.#xid}`);
        const status = a.do === 'cut' ? model.truncate(node, 5) : model.write(node, node.data.length, data);
        const change = { mode: null, uid: null, gid: null, sizeBytes: 5, atime: null, mtime: null };
        const asked: NfsArguments =
          a.do === 'cut'
            ? { procedure: 'setattr', handle, change, guardNs: null }
            : { procedure: 'write', handle, offset: node.data.length - data.length, stable: 2, data };
        if (a.do === 'write' && status !== 0) return;
        assert.equal((await this.#send(asked)).status, status);
        return;
      }
      default:
        assert.fail(a.do);
    }
  }

  async #made(made: number | ModelNode, asked: NfsArguments): Promise<void> {
    const got = await this.#send(asked);
    assert.equal(got.status, typeof made === 'number' ? made : 0);
    if (typeof made === 'number') return;
    assert.ok(got.handle !== null && got.handle !== undefined);
    this.#handles.set(made, got.handle);
  }

  /** Every file holds what was acknowledged. */
  async check(): Promise<void> {
    for (const [node, handle] of this.#handles) {
      const got = await this.#servers.caller.getattr(handle);
      assert.equal(got.status, node.links === 0 ? 70 : 0);
      if (got.status !== 0) continue;
      assert.equal(got.attributes.links, node.links);
      if (node.type === 'file') assert.equal(await this.#servers.caller.text(handle), node.data.toString('latin1'));
    }
  }
}

test('whoever dies, every request is carried out once and answered as it would have been', async () => {
  const works = fc.array(action, { minLength: 1, maxLength: 12, size: 'max' });
  const deaths = fc.array(fc.integer({ min: 1, max: 80 }), { maxLength: 5, size: 'max' });
  await fc.assert(
    fc.asyncProperty(fc.tuple(works, works, works), deaths, fc.boolean(), async (all, dying, lost) => {
      const servers = await new Servers(dying, lost).open();
      const model = new FilesModel();
      const clients = all.map((actions, at) => ({ actions, client: new Client(servers, model, `10.0.0.${at}`) }));
      await Promise.all(
        clients.map(async ({ actions, client }) => {
          for (const one of actions) await client.step(one);
        }),
      );
      servers.caller.service.dieAt(Infinity);
      servers.end();
      if (servers.caller.service.dead) return;
      for (const { client } of clients) await client.check();
    }),
    { numRuns: 60, includeErrorInReport: true },
  );
});
