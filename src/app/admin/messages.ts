/**
 * What the admin HTTP says, in JSON: the one definition for the server's and the client's side.
 *
 * | request | answer |
 * | --- | --- |
 * | `GET /v1/challenge` | `{ challenge }`; the only one that needs no proof |
 * | `GET /v1/status` | `StatusAnswer` |
 * | `GET /v1/events?after=N&most=M` | `EventsAnswer` |
 * | `POST /v1/takeover` `VolumeRequest` | lines of `ProgressLine`, the last one with the outcome |
 * | `POST /v1/drain` `VolumeRequest` | the same |
 * | `POST /v1/reload` | `ReloadAnswer` |
 * | `POST /v1/accept-loss` `VolumeRequest` | `{}` |
 * | `POST /v1/ended` `EndedReport` | `{}` |
 *
 * What fails is answered by `ErrorAnswer` and a status code of its own.
 */
import { z } from 'zod';
import type { FaultKind } from '../../base/fault.ts';
import type { DrainReport } from '../../core/drain.ts';
import type { HandoverReport } from '../../core/server.ts';
import type { ServerStatus } from '../../core/status.ts';
import type { PastEvent } from '../history.ts';
import type { Reloaded } from '../late-volumes.ts';
import type { Judgement } from '../machine/virtual.ts';

export const volumeRequest = z.strictObject({ volume: z.string().min(1).max(64) });
export type VolumeRequest = z.output<typeof volumeRequest>;

/** A supervisor's word: these incarnations of its server have ended, newest last. */
export const endedReport = z.strictObject({
  server: z.string().min(1).max(64),
  incarnations: z
    .array(z.string().regex(/^[0-9a-f]{32}$/))
    .min(1)
    .max(16),
});
export type EndedReport = z.output<typeof endedReport>;

export interface StatusAnswer {
  readonly cluster: string;
  /** The server's process. */
  readonly pid: number;
  /** Ms since this process began to take part. */
  readonly upMs: number;
  /** Whether a hypervisor can pause the server's machine, and what tells: volumes that do not say go by it. */
  readonly machine: Judgement;
  readonly status: ServerStatus;
}

export interface EventsAnswer {
  /** The oldest first. */
  readonly events: readonly PastEvent[];
}

export type ReloadAnswer = Reloaded;

/** One line of a streamed answer; exactly one of the keys is there. `done` has the report of what was asked for. */
export type ProgressLine<Report = HandoverReport | DrainReport> =
  | { readonly progress: string }
  | { readonly done: Report }
  | { readonly error: string; readonly kind: FaultKind };

export interface ErrorAnswer {
  readonly error: string;
  readonly kind: FaultKind;
}
