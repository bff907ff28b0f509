/** What a planned change of owner would do, and everything that speaks against it, by name. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VolumeStatus } from '../../core/status.ts';
import type { ServerView, VolumeView } from './common.ts';
import { planTake, plansBack, plansFrom } from './plan.ts';

type Said = Partial<VolumeStatus> | null;

/** A volume `v` of the servers named; what each says of it, or null for one that is silent. */
function view(said: Readonly<Record<string, Said>>, name = 'v'): { view: VolumeView; servers: ServerView[] } {
  const byServer = new Map<string, VolumeStatus>();
  const servers: ServerView[] = [];
  for (const [server, status] of Object.entries(said)) {
    const config = { name: server } as ServerView['server'];
    if (status === null) servers.push({ server: config, answer: null, silence: 'no answer from there' });
    else {
      servers.push({ server: config, answer: {}, silence: null } as unknown as ServerView);
      byServer.set(server, {
        owner: 'a',
        loss: null,
        serving: false,
        takeoverRefusals: [],
        handoverRefusals: [],
        brake: { handover: null, giveback: null },
        ...status,
      } as unknown as VolumeStatus);
    }
  }
  const config = { name, servers: Object.keys(said) } as unknown as VolumeView['config'];
  const best = [...byServer.values()].find((one) => one.serving) ?? [...byServer.values()][0] ?? null;
  return { view: { config, best, byServer }, servers };
}

test('the first of the others that can takes it', () => {
  const { view: one, servers } = view({ a: { serving: true }, b: null, c: {} });
  assert.deepEqual(
    { ...planTake(one, servers) },
    { volume: 'v', from: 'a', to: 'c', nothingToDo: false, reasons: [], brake: null },
  );
});

test('every reason is named, of every server, and once', () => {
  const { view: one, servers } = view({
    a: { serving: true, handoverRefusals: ['the record is just being changed'] },
    b: { takeoverRefusals: ['this server is unfit: its disk', 'the record names no store of it'] },
    c: null,
  });
  const plan = planTake(one, servers);
  assert.equal(plan.to, null);
  assert.deepEqual(plan.reasons, [
    'b: this server is unfit: its disk',
    'b: the record names no store of it',
    'a: the record is just being changed',
    'c does not answer: no answer from there',
  ]);
});

test('what is there already, what was never made, and who has no part in it', () => {
  const { view: one, servers } = view({ a: { serving: true }, b: {} });
  assert.equal(planTake(one, servers, 'a').nothingToDo, true);
  assert.match(planTake(one, servers, 'z').reasons[0] ?? '', /z is none of its servers: they are a, b/);
  const unmade = view({ a: null });
  assert.match(planTake(unmade.view, unmade.servers, 'a').reasons[0] ?? '', /was it created/);
  const alone = view({ a: { serving: true } });
  assert.deepEqual(planTake(alone.view, alone.servers).reasons, ['it has no other server']);
});

test('an owner that does not answer is a reason even where its heir sees it', () => {
  const { view: one, servers } = view({ a: null, b: {} });
  assert.deepEqual(planTake(one, servers).reasons, ['a, its owner, does not answer: no answer from there']);
});

test('all volumes of a server, away and back', () => {
  const mine = view({ a: { serving: true }, b: {} }, 'mine');
  const theirs = view({ b: { serving: true, owner: 'b' as never }, a: { owner: 'b' as never } }, 'theirs');
  const lent = view({ a: { owner: 'b' as never }, b: { serving: true, owner: 'b' as never } }, 'lent');
  const views = [mine.view, theirs.view, lent.view];
  const shown = (plans: ReturnType<typeof plansFrom>): string[] =>
    plans.map((plan) => `${plan.volume} ${plan.from} ${plan.to} ${plan.nothingToDo}`);
  assert.deepEqual(shown(plansFrom('b', views, mine.servers)), ['theirs b a false', 'lent b a false']);
  assert.deepEqual(shown(plansBack('a', views, mine.servers)), ['mine a a true', 'lent b a false']);
});
