/** The part of the files volumes' suite (suites/tree.ts) that puts a medium's tree beside one in memory. */
import assert from 'node:assert/strict';
import type { Creation } from '../src/ports/tree.ts';
import { pseudoRandom } from './medium.ts';
import { aDirectory, aFile, countsLinks, DrivenFiles, errnoOf, type Run, UNCHANGED } from './tree-driver.ts';
import { type Node, node, type Outcome, TreeModel } from './tree-model.ts';

const ROUNDS = 400;
const OBJECTS_MAX = 60;
const NAMES = ['a', 'b', 'c', 'd', 'e'];

export function randomSuite(run: Run): void {
  for (const seed of [1, 2, 3]) {
    run(`random changes end as they do in a plain model (seed ${seed})`, async (first, world) => {
      const random = pseudoRandom(seed);
      const model = new TreeModel();
      model.root.id = first.root;
      /** Every object ever made, those that were removed too. */
      const objects: Node[] = [model.root];
      let files = first;
      for (let round = 0; round < ROUNDS; round += 1) {
        const pick = (): Node => objects[random(objects.length)] as Node;
        const name = (): string => NAMES[random(NAMES.length)] as string;
        const step = new Step(files, model, objects, random, pick, name);
        const what = random(10);
        if (what < 3) await step.create();
        else if (what === 3) await step.link();
        else if (what === 4) await step.remove();
        else if (what === 5) await step.removeDirectory();
        else if (what === 6) await step.change();
        else if (what === 7) await step.write();
        else await step.rename();
        if (round % 100 === 99) {
          await compare(files, model, objects);
          await files.close();
          files = await DrivenFiles.open(world);
          await compare(files, model, objects);
        }
      }
      await files.close();
    });
  }
}

/** One random change, to both. */
class Step {
  constructor(
    files: DrivenFiles,
    model: TreeModel,
    objects: Node[],
    random: (below: number) => number,
    pick: () => Node,
    name: () => string,
  ) {
    this.files = files;
    this.model = model;
    this.objects = objects;
    this.random = random;
    this.pick = pick;
    this.name = name;
  }
  readonly files: DrivenFiles;
  readonly model: TreeModel;
  readonly objects: Node[];
  readonly random: (below: number) => number;
  readonly pick: () => Node;
  readonly name: () => string;

  async create(): Promise<void> {
    if (this.objects.length > OBJECTS_MAX) return this.rename();
    const [directory, name, type] = [this.pick(), this.name(), this.random(5)];
    const mode = 0o600 + this.random(0o100);
    const to = Buffer.from(`to ${this.random(1000)}`);
    const what: Creation =
      type < 2 ? aDirectory(mode | 0o100) : type < 4 ? aFile(mode) : { type: 'symlink', to, attributes: UNCHANGED };
    const content = what.type === 'symlink' ? to : Buffer.alloc(0);
    const made = node(what.type as Node['type'], what.attributes.mode ?? 0o777, content, directory);
    const call = this.files.create(directory.id, name, what);
    await agree('create', this.model.create(directory, name, made), call);
    if (this.model.all().includes(made)) {
      made.id = (await call).id;
      this.objects.push(made);
    }
  }

  async link(): Promise<void> {
    const [object, directory, name] = [this.pick(), this.pick(), this.name()];
    await agree('link', this.model.link(object, directory, name), this.files.link(object.id, directory.id, name));
  }

  async remove(): Promise<void> {
    const [directory, name] = [this.pick(), this.name()];
    await agree('remove', this.model.remove(directory, name), this.files.remove(directory.id, name));
  }

  async removeDirectory(): Promise<void> {
    const [directory, name] = [this.pick(), this.name()];
    const call = this.files.removeDirectory(directory.id, name);
    await agree('removeDirectory', this.model.removeDirectory(directory, name), call);
  }

  async rename(): Promise<void> {
    const [from, name, to, toName] = [this.pick(), this.name(), this.pick(), this.name()];
    const call = this.files.rename(from.id, name, to.id, toName);
    await agree('rename', this.model.rename(from, name, to, toName), call);
  }

  async change(): Promise<void> {
    const object = this.pick();
    const mode = 0o700 + this.random(0o100);
    const outcome: Outcome = object.links > 0 ? [] : ['ESTALE'];
    await agree('change', outcome, this.files.change(object.id, { mode }));
    if (object.links > 0 && object.type !== 'symlink') object.mode = mode;
  }

  async write(): Promise<void> {
    const object = this.pick();
    if (object.type !== 'file') return;
    const data = Buffer.from(`data ${this.random(1000)}`);
    await this.files.resize(object.id, 0);
    await this.files.write(object.id, 0, data);
    if (object.links > 0) object.content = data;
  }
}

async function agree(what: string, outcome: Outcome, call: Promise<unknown>): Promise<void> {
  const found = await errnoOf(call);
  if (outcome.length === 0) return assert.equal(found, 'ok', what);
  assert.ok(found !== 'ok' && outcome.includes(found), `${what}: ${outcome.join(' or ')}, got ${found}`);
}

/** Every object is what the model says, and those that were removed are stale. */
async function compare(files: DrivenFiles, model: TreeModel, objects: readonly Node[]): Promise<void> {
  for (const object of objects) {
    if (object.links === 0) {
      assert.equal(await errnoOf(files.attributes(object.id)), 'ESTALE');
      continue;
    }
    const attributes = await files.attributes(object.id);
    assert.equal(attributes.type, object.type);
    countsLinks(attributes, object.links);
    if (object.type !== 'symlink') assert.equal(attributes.mode, object.mode);
    if (object.type === 'symlink') assert.deepEqual(await files.readLink(object.id), object.content);
    if (object.type === 'file') {
      assert.equal(attributes.sizeBytes, object.content.length);
      if (object.content.length > 0)
        assert.deepEqual(await files.read(object.id, 0, object.content.length), object.content);
    }
    if (object.type === 'directory') await compareDirectory(files, object, attributes.fileNumber);
  }
  assert.ok(model.all().length <= objects.length, 'the model made nothing by itself');
}

async function compareDirectory(files: DrivenFiles, directory: Node, fileNumber: bigint): Promise<void> {
  const listed = await files.listAll(directory.id, 3);
  assert.deepEqual(listed.map(({ name }) => name.toString()).toSorted(), [...directory.children.keys()].toSorted());
  for (const { name, fileNumber: number } of listed) {
    const found = await files.lookup(directory.id, name);
    assert.deepEqual([found.id, found.attributes.fileNumber], [directory.children.get(name.toString())?.id, number]);
  }
  const parent = await files.lookup(directory.id, '..');
  assert.equal(parent.id, (directory.parent ?? directory).id);
  assert.equal((await files.lookup(directory.id, '.')).attributes.fileNumber, fileNumber);
}
