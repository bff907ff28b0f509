/** The last look at a files volume: every name, every file, as its owner shows it, and as it lies on the medium. */
import type { ObjectId } from '../../src/ports/tree.ts';
import type { World } from '../world.ts';
import { NAME_KEYS } from './errands.ts';
import type { Front, Shown } from './front.ts';
import { type FilesPlatter, sizeAt } from './platter.ts';

/** `done` once everything was looked at, first as the front end knows it, then afresh from the medium. */
export function lastLooks(world: World, front: Front, done: () => void): void {
  const files = world.device.files[front.volume] as FilesPlatter;
  lookAll(world, front, files, () => {
    front.forget();
    lookAll(world, front, files, () => {
      const volatile = files.versions.length;
      if (volatile > 0) world.ctx.fail('the medium equals the volume', `${volatile} changes of names are not durable`);
      done();
    });
  });
}

function lookAll(world: World, front: Front, files: FilesPlatter, done: () => void): void {
  const ids = new Set<ObjectId>();
  let left = NAME_KEYS.length;
  const found = (): void => {
    left--;
    if (left > 0) return;
    let open = ids.size;
    if (open === 0) return done();
    for (const id of ids)
      front.read(id, 0, files.cells, (shown, tags) => {
        compare(world, front, files, id, shown, tags);
        open--;
        if (open === 0) done();
      });
  };
  for (const key of NAME_KEYS) {
    const [directory = '', name = ''] = key.split('/');
    const beginMs = world.ctx.now;
    front.lookup(directory, name, (id) => {
      front.files.names.looked(directory, name, id, beginMs, world.ctx.now);
      if (id !== (files.durable.get(key) ?? null))
        world.ctx.fail(
          'the medium equals the volume',
          `${key} is ${id ?? 'free'}, on the medium ${files.durable.get(key) ?? 'free'}`,
        );
      if (id !== null) ids.add(id);
      found();
    });
  }
}

function compare(
  world: World,
  front: Front,
  files: FilesPlatter,
  id: ObjectId,
  shown: Shown | null,
  tags: readonly number[],
): void {
  const object = files.objects.get(id);
  if (object === undefined || shown === null)
    return world.ctx.fail('the medium equals the volume', `${id} has a name and is gone`);
  const there = Array.from(object.synced);
  const at = sizeAt(object);
  if ([...tags, shown.size, shown.time].join() === there.join()) return;
  world.ctx.fail(
    'the medium equals the volume',
    `v${front.volume} ${id}: shown with ${shown.size} cells of time ${shown.time}: ${tags.join()}; ` +
      `the medium has ${there[at]} cells of time ${there[at + 1]}: ${there.slice(0, at).join()}`,
  );
}
