/**
 * Storms with a plot: the interleavings of the traps (docs/simulator.md) that chance alone meets too rarely, each with
 * drawn times and victims. A world's other troubles come on top.
 */
import type { Timings } from '../src/core/settings.ts';
import type { Aim, PlannedFault, Trouble, When } from './plan.ts';
import type { Prng } from './prng.ts';

export const STORMS = [
  'deposed',
  'tight-lease',
  'restarted-claimant',
  'late-reads',
  'late-swap',
  'partner-blinks',
  'handover',
  'rot',
  'given-up',
  'retargeted',
  'uneven-paths',
  'late-grants',
  'split',
  'slow-medium',
  'alone',
  'ghost-owner',
  'late-io',
  'upgrade',
  'stray-words',
  'no-mount',
] as const;
/** Those of files volumes: drawn beside the others, only where there are some. */
export const FILES_STORMS = ['slow-calls'] as const;
/** Those that are never drawn, only asked for: another one to draw would change the world of every seed. */
export const STORMS_ON_DEMAND = ['called-off'] as const;
export type Storm = (typeof STORMS)[number] | (typeof FILES_STORMS)[number] | (typeof STORMS_ON_DEMAND)[number];

/** The faults of one storm over volume `volume` of a world with so many servers. */
export function stormOf(
  prng: Prng,
  storm: Storm,
  servers: number,
  volume: number,
  stormMs: number,
  t: Timings,
): PlannedFault[] {
  const at = prng.between(300, Math.min(stormMs * 0.6, 2_000));
  const detectMs = Math.max(t.silentMs, t.entryStallMs);
  const longMs = detectMs * 1.5 + t.leaseMs * 2 + prng.between(200, 1500);
  const shortMs = prng.between(5, 80);
  const owner: Aim = { role: 'owner', volume };
  const partner: Aim = { role: 'partner', volume };
  const deposed: Aim = { role: 'deposed', volume };
  const self: Aim = { role: 'self' };
  const once = (atMs: number, trouble: Trouble, aim: Aim | null): PlannedFault => ({ when: { atMs }, trouble, aim });
  const on = (
    hook: Extract<When, { on: unknown }>['on'],
    nth: number,
    afterMs: number,
    trouble: Trouble,
    aim: Aim | null,
  ): PlannedFault => ({
    when: { on: hook, server: null, nth, afterMs },
    trouble,
    aim,
  });
  const cutOff = (forMs: number): Trouble => ({
    kind: 'isolate',
    server: 0,
    link: true,
    coordinator: false,
    clients: false,
    forMs,
  });
  const coordinator = (mode: Extract<Trouble, { kind: 'coordinator' }>['mode'], forMs: number): Trouble => ({
    kind: 'coordinator',
    server: 0,
    mode,
    forMs,
  });
  const crash = (downMs: number, rot = 0): Trouble => ({
    kind: 'crash',
    server: 0,
    host: prng.chance(0.5),
    downMs,
    rot,
  });
  const claims = 1 + prng.below(3) + 1;
  switch (storm) {
    case 'deposed':
      return [
        once(at, { kind: 'isolate', server: 0, link: true, coordinator: true, clients: false, forMs: longMs }, owner),
      ];
    case 'tight-lease':
      return [
        once(at, cutOff(longMs), owner),
        once(at, coordinator('read-only', longMs), owner),
        on('claim-landed', claims, prng.pick([0, 1, t.pollMs / 2]), coordinator('hang', longMs), deposed),
      ];
    case 'restarted-claimant':
      return [
        once(at, cutOff(longMs), owner),
        once(at, coordinator('read-only', longMs), owner),
        on('claim-landed', claims, prng.between(0, 20), crash(prng.between(2, 30)), self),
        on('claim-landed', claims, 0, coordinator('hang', longMs), deposed),
      ];
    case 'late-reads':
      return [once(at, cutOff(longMs), owner), once(at + prng.between(0, 100), coordinator('late', longMs), owner)];
    case 'late-swap': {
      const nth = prng.int(2, 8);
      const after = prng.pick([0, t.retryMs, prng.between(0, 300)]);
      return [
        on(
          'swap-sent',
          nth,
          0,
          coordinator(prng.pick(['late', 'mute', 'hang', 'fault']), prng.between(300, 3000)),
          self,
        ),
        on(
          'swap-sent',
          nth,
          after,
          prng.pick([crash(shortMs), cutOff(prng.between(200, 2000)), crash(1500)]),
          prng.pick([self, partner, owner]),
        ),
      ];
    }
    case 'partner-blinks':
      return [
        once(at, crash(shortMs), partner),
        once(at + prng.between(0, detectMs), crash(prng.between(100, 3000)), owner),
      ];
    case 'handover':
      return [
        once(at, { kind: 'takeover', server: prng.below(servers), volume }, prng.chance(0.7) ? partner : null),
        on(
          prng.pick(['agreed-sent', 'claim-landed', 'swap-sent', 'medium-open']),
          1 + prng.below(2),
          prng.pick([0, shortMs]),
          prng.pick([crash(shortMs), cutOff(longMs / 2), { kind: 'freeze', server: 0, forMs: longMs }]),
          prng.pick([self, owner, partner]),
        ),
      ];
    case 'rot':
      return [
        once(at, crash(shortMs), partner),
        once(
          at + prng.between(20, 600),
          crash(prng.between(5, 300), prng.int(1, 3)),
          prng.pick([owner, owner, partner]),
        ),
      ];
    case 'given-up':
      return [
        once(at, prng.chance(0.5) ? { kind: 'damage', server: 0, volume, downMs: shortMs } : crash(shortMs), partner),
        once(at + prng.between(0, 30), crash(longMs), owner),
        once(at + detectMs + prng.between(300, longMs * 0.8), { kind: 'give-up', server: 0, volume }, partner),
      ];
    case 'retargeted':
      return [
        once(
          at,
          { kind: 'cut', from: 0, to: prng.below(servers), path: null, both: true, forMs: prng.between(500, 1500) },
          partner,
        ),
        once(at + 2000, coordinator('hang', longMs), owner),
        once(
          at + 2000,
          { kind: 'cut', from: 0, to: prng.below(servers), path: null, both: true, forMs: longMs },
          owner,
        ),
      ];
    case 'late-grants': {
      // The partner's answers come later and later, and go on coming when it has turned away.
      const extraMs = Math.min(t.confirmMs * 0.9, 1_400);
      const alone = at + extraMs / 0.6 + prng.between(0, 800);
      return [
        once(
          at,
          { kind: 'slow-link', from: 0, to: 0, path: null, both: false, extraMs, forMs: longMs * 2 + extraMs * 2 },
          partner,
        ),
        once(alone, coordinator('hang', longMs + 1_000), owner),
        once(
          alone + prng.between(0, 200),
          { kind: 'cut', from: 0, to: prng.below(servers), path: null, both: false, forMs: longMs },
          owner,
        ),
      ];
    }
    case 'split':
      return [
        once(at, { kind: 'cut', from: 0, to: prng.below(servers), path: null, both: true, forMs: longMs }, owner),
        once(
          at + detectMs * prng.between(0, 1.2),
          coordinator(prng.pick(['late', 'slow', 'fault', 'read-only']), prng.between(200, 2000)),
          owner,
        ),
      ];
    case 'slow-medium':
      return [
        once(at, { kind: 'medium', server: 0, volume, mode: 'slow', share: 1, forMs: longMs * 2 }, owner),
        once(at + prng.between(0, 500), crash(shortMs), partner),
        once(at + prng.between(500, 1500), crash(shortMs), prng.pick([owner, partner])),
      ];
    case 'alone':
      return [
        once(at, crash(longMs * 2), partner),
        on('medium-write', prng.int(1, 60), prng.between(0, 6), crash(shortMs), self),
        on('medium-write', prng.int(40, 90), prng.between(0, 6), crash(shortMs), self),
      ];
    case 'ghost-owner': {
      // Cut off from the coordinator it goes on believing, while two others change places.
      const claimedMs = detectMs + t.leaseMs * 1.3 + prng.between(300, 900);
      return [
        once(at, cutOff(claimedMs + prng.between(200, 1200)), owner),
        once(at, coordinator('hang', claimedMs + 4_000), owner),
        once(at + claimedMs, { kind: 'takeover', server: 0, volume }, partner),
      ];
    }
    case 'late-io':
      // Stopped in the middle of a batch of writes, for as long as it takes to be replaced, and let go on.
      return [
        on('medium-write', prng.int(1, 40), prng.between(0, 4), { kind: 'freeze', server: 0, forMs: longMs }, self),
        on('claim-landed', claims, prng.between(0, longMs), crash(shortMs), prng.pick([self, deposed])),
      ];
    case 'called-off': {
      // The partner's claim hangs until the owner, cut off from everything and without authority, shows itself again: the
      // partner calls its claim off by a record that changes the version alone, and that is the first that the owner reads.
      const silenceMs = Math.max(detectMs, t.silentMs + t.leaseMs) + prng.between(0, 300);
      const muteMs = t.coordinatorMs + prng.between(0, 3 * t.retryMs);
      return [
        once(at, cutOff(silenceMs + muteMs + prng.between(500, 2_000)), partner),
        once(at, { kind: 'medium', server: 0, volume, mode: 'slow', share: 1, forMs: silenceMs }, owner),
        once(at, coordinator('hang', silenceMs), owner),
        once(at, coordinator('read-only', silenceMs), partner),
        once(at + silenceMs, coordinator('mute', muteMs), owner),
      ];
    }
    case 'slow-calls':
      // Calls on the tree take their time, and their server has to go in the middle of one.
      return [
        once(at, { kind: 'medium', server: 0, volume, mode: 'slow', share: 1, forMs: stormMs }, owner),
        on('tree-call', prng.int(1, 12), prng.between(0, 20), { kind: 'takeover', server: 0, volume }, partner),
        on(
          prng.pick(['tree-call', 'intended', 'name-answered']),
          prng.int(1, 15),
          prng.pick([0, prng.between(0, 30)]),
          prng.pick([crash(shortMs), { kind: 'freeze', server: 0, forMs: longMs }]),
          self,
        ),
      ];
    case 'no-mount':
      // The mount goes just before its server has to take over.
      return [
        once(at, { kind: 'unmount', server: 0, volume, forMs: longMs * 2 }, partner),
        once(at + prng.between(0, detectMs), crash(prng.pick([shortMs, longMs])), owner),
      ];
    case 'upgrade': {
      // One server after the other is stopped in order and started with its other program; sometimes one dies meanwhile.
      const gap = prng.between(300, 1_200);
      const steps = Array.from({ length: servers }, (_, server) =>
        once(at + gap * server, { kind: 'stop', server, downMs: shortMs }, null),
      );
      if (prng.chance(0.5)) steps.push(once(at + gap * prng.between(0, servers), crash(shortMs), owner));
      return steps;
    }
    case 'stray-words': {
      // One path lags and is not renewed: what the partner said of an earlier copy arrives when another has been begun.
      const extraMs = prng.between(60, Math.min(600, t.silentMs * 0.9));
      const path = prng.below(2);
      const slowed = at + extraMs * 2;
      const blinks = [0, 1, 2].flatMap((n) => {
        const blinkMs = slowed + n * prng.between(500, 1_200);
        return [
          once(
            blinkMs - 1,
            { kind: 'cut', from: 0, to: prng.below(servers), path, both: false, forMs: extraMs * 2 },
            owner,
          ),
          once(blinkMs, prng.chance(0.8) ? crash(prng.between(1, 12)) : cutOff(prng.between(5, t.confirmMs)), partner),
        ];
      });
      return [
        once(at, { kind: 'slow-link', from: 0, to: 0, path, both: false, extraMs, forMs: stormMs }, partner),
        once(at, { kind: 'medium', server: 0, volume, mode: 'slow', share: 1, forMs: stormMs }, owner),
        ...blinks,
      ];
    }
    case 'uneven-paths':
      return [
        once(
          at,
          { kind: 'slow-link', from: 0, to: 0, path: prng.below(2), both: true, extraMs: 2000, forMs: longMs * 2 },
          owner,
        ),
        once(
          at + prng.between(100, 1500),
          prng.chance(0.5) ? { kind: 'takeover', server: 0, volume } : crash(shortMs),
          partner,
        ),
        once(
          at + prng.between(500, 2500),
          prng.chance(0.5) ? crash(shortMs) : { kind: 'takeover', server: 0, volume },
          owner,
        ),
      ];
  }
}
