/**
 * A world as data: what one seed stands for. Everything that may happen from outside is in here (servers, volumes,
 * timings, faults, the clients' habits), so that a failing world can be shrunk by taking parts away.
 */
import type { DegradedPolicy, ReadPolicy, Timings } from '../src/core/settings.ts';
import type { StoreKind } from '../src/ports/store.ts';
import type { Hook } from './context.ts';
import type { Program } from './dialect.ts';

/** When a fault begins: at a time, or shortly after the nth time that something happens at a server (null: at any). */
export type When =
  | { readonly atMs: number }
  | { readonly on: Hook; readonly server: number | null; readonly nth: number; readonly afterMs: number };

/**
 * At whom a trouble is aimed, instead of at a server by its index: whoever owns or mirrors that volume when it begins,
 * or was the last to serve it while another one claims (`deposed`), or the server at which the thing happened that the
 * trouble waited for (`self`).
 */
export type Aim =
  | { readonly role: 'owner' | 'partner' | 'deposed'; readonly volume: number }
  | { readonly role: 'self' };

/** What happens to the world (docs/simulator.md, the fault model). Servers and volumes by index; `forMs` is how long it lasts, if it lasts. */
export type Trouble =
  | {
      readonly kind: 'crash';
      readonly server: number;
      readonly host: boolean;
      readonly downMs: number;
      readonly rot: number;
    }
  | { readonly kind: 'freeze'; readonly server: number; readonly forMs: number }
  | {
      readonly kind: 'cut';
      readonly from: number;
      readonly to: number;
      readonly path: number | null;
      readonly both: boolean;
      readonly forMs: number;
    }
  | {
      /** These servers on one side, all others on the other, the coordinator with one of them or between the two. */
      readonly kind: 'partition';
      readonly members: readonly number[];
      readonly coordinator: 'members' | 'others' | 'both';
      readonly forMs: number;
    }
  | { readonly kind: 'reset'; readonly from: number; readonly to: number; readonly path: number }
  | {
      readonly kind: 'slow-link';
      readonly from: number;
      readonly to: number;
      readonly path: number | null;
      /** Both ways, or only what goes from `from`. */
      readonly both: boolean;
      readonly extraMs: number;
      readonly forMs: number;
    }
  | {
      readonly kind: 'isolate';
      readonly server: number;
      readonly link: boolean;
      readonly coordinator: boolean;
      readonly clients: boolean;
      readonly forMs: number;
    }
  | {
      readonly kind: 'coordinator';
      readonly server: number | null;
      readonly mode: 'slow' | 'hang' | 'fault' | 'mute' | 'late' | 'read-only';
      readonly forMs: number;
    }
  | {
      readonly kind: 'medium';
      readonly server: number;
      readonly volume: number;
      readonly mode: 'slow' | 'hang' | 'fail' | 'fail-sync';
      readonly share: number;
      readonly forMs: number;
    }
  | { readonly kind: 'unmount'; readonly server: number; readonly volume: number; readonly forMs: number }
  | { readonly kind: 'full'; readonly volume: number; readonly forMs: number }
  | {
      readonly kind: 'store';
      readonly server: number;
      readonly volume: number;
      readonly mode: 'slow' | 'hang' | 'fail';
      readonly forMs: number;
    }
  | { readonly kind: 'damage'; readonly server: number; readonly volume: number; readonly downMs: number }
  | { readonly kind: 'takeover'; readonly server: number; readonly volume: number }
  | { readonly kind: 'stop'; readonly server: number; readonly downMs: number }
  | { readonly kind: 'power'; readonly downMs: number }
  | { readonly kind: 'give-up'; readonly server: number; readonly volume: number };

export interface PlannedFault {
  readonly when: When;
  readonly trouble: Trouble;
  readonly aim: Aim | null;
}

export interface VolumePlan {
  /** Servers in order of preference, by index. */
  readonly servers: readonly number[];
  readonly sectors: number;
  readonly kind: StoreKind;
  readonly capacityBytes: number;
  readonly degraded: DegradedPolicy;
  readonly reads: ReadPolicy;
  readonly giveback: 'manual' | 'auto';
  /** A files volume: `sectors` are cells then, 16 at most for a file. */
  readonly files: boolean;
}

export interface ClientPlan {
  readonly volume: number;
  readonly connections: number;
  /** Requests that it keeps on their way. */
  readonly depth: number;
  /** Mean pause between two requests of one slot, ms. */
  readonly pauseMs: number;
  readonly reads: number;
  readonly zeroes: number;
  /** Largest request in sectors. */
  readonly span: number;
  /** Part of the volume it works in: sectors from, count. */
  readonly from: number;
  readonly count: number;
  /** What is unanswered when a connection breaks: the share that is sent again. */
  readonly resend: number;
  /** Unanswered for so long: it closes the connection and looks for another server. */
  readonly patienceMs: number;
}

/**
 * What keeps a server that was claimed from away from the medium (docs/fencing.md): nothing, the risk being accepted by
 * name; the end of its process, all servers being on one machine; a hook that switches its machine off; a hook that takes
 * the medium away from it and leaves it alone otherwise.
 */
export type FenceKind = 'none' | 'process' | 'power' | 'medium';

/** The program of a server when the world begins, and from its first restart on: upgraded, or taken back. */
export interface Programs {
  readonly first: Program;
  readonly later: Program;
}

export interface WorldPlan {
  readonly seed: number;
  readonly servers: number;
  readonly paths: number;
  readonly volumes: readonly VolumePlan[];
  readonly clients: readonly ClientPlan[];
  readonly timings: Timings;
  readonly faults: readonly PlannedFault[];
  /** All requests of all clients. */
  readonly operations: number;
  /** When the last fault may begin; then everything is healed. */
  readonly stormMs: number;
  readonly fence: FenceKind;
  /** Chance that a process's end can be proven. */
  readonly witness: number;
  readonly linkMs: number;
  /** Messages travel as bytes, at the version that both ends speak. */
  readonly bytes: boolean;
  /** By server. */
  readonly programs: readonly Programs[];
  readonly mediumMs: number;
  readonly coordinatorMs: number;
  readonly punch: boolean;
  readonly reserve: boolean;
  readonly extents: boolean;
  /** All copies may be lost together: then the loss must be named. */
  readonly losses: boolean;
  /** The coordinator lies on the medium: they fail together. */
  readonly coordinatorOnMedium: boolean;
}

/** One line for a person. */
export function describeFault(fault: PlannedFault): string {
  const { when, trouble, aim } = fault;
  const at =
    'atMs' in when
      ? `at ${when.atMs.toFixed(1)} ms`
      : `${when.afterMs.toFixed(2)} ms after ${when.on} number ${when.nth} at ${when.server === null ? 'any server' : `server ${when.server}`}`;
  const target =
    aim === null ? '' : aim.role === 'self' ? ' (that server)' : ` (the ${aim.role} of volume ${aim.volume})`;
  const { kind, ...rest } = trouble;
  const fields = Object.entries(rest).map(
    ([key, value]) => `${key} ${typeof value === 'number' ? +value.toFixed(1) : String(value)}`,
  );
  return `${at}: ${kind}${target} ${fields.join(', ')}`;
}
