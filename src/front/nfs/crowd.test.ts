/** Who is let in, against a plain list of who is there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Crowd, type Guest } from './crowd.ts';
import { DEFAULT_NFS_LIMITS } from './limits.ts';

interface Visitor extends Guest {
  readonly id: number;
  silent: boolean;
}

const LIMITS = { ...DEFAULT_NFS_LIMITS, maxConnections: 6, maxAddressConnections: 3 };

test('bounds hold, the oldest silent one makes room, and who has spoken stays', () => {
  const step = fc.record({ do: fc.constantFrom('come', 'come', 'come', 'speak', 'leave'), of: fc.nat(20) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const crowd = new Crowd<Visitor>(LIMITS);
      const there: Visitor[] = [];
      let id = 0;
      const leave = (guest: Visitor): void => {
        assert.equal(crowd.remove(guest), guest.silent);
        there.splice(there.indexOf(guest), 1);
      };
      for (const { do: what, of } of steps) {
        const guest = there[of % Math.max(1, there.length)];
        if (what === 'speak' && guest !== undefined) {
          guest.silent = false;
          crowd.spoke(guest);
        } else if (what === 'leave' && guest !== undefined) leave(guest);
        else if (what === 'come') {
          const address = `address ${of % 4}`;
          const neighbours = there.filter(({ client }) => client.address === address);
          const isFull = neighbours.length >= 3;
          const silent = (isFull ? neighbours : there).find((each) => each.silent);
          const admission = crowd.admission(address);
          if (!isFull && there.length < 6) assert.equal(admission.kind, 'admit');
          else if (silent === undefined) assert.equal(admission.kind, 'refuse');
          else {
            assert.ok(admission.kind === 'instead');
            assert.equal(admission.of.id, silent.id);
            leave(silent);
          }
          if (admission.kind === 'refuse') continue;
          const newcomer = { id: id++, silent: true, client: { address }, close: () => {} };
          crowd.add(newcomer);
          there.push(newcomer);
        }
        assert.deepEqual(
          [...crowd].map((each) => each.id),
          there.map((each) => each.id),
        );
        assert.ok(crowd.size <= 6);
      }
    }),
    { numRuns: 300 },
  );
});
