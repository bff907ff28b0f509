/**
 * What the admin HTTP says, in JSON: the one definition for the server's and the client's side.
 *
 * | request | answer |
 * | --- | --- |
 * | `GET /v1/challenge` | `{ challenge }`; the only one that needs no proof |
 * | `GET /v1/status` | `StatusAnswer` |
 * | `POST /v1/takeover` `VolumeRequest` | lines of `ProgressLine`, the last one with the outcome |
 * | `POST /v1/accept-loss` `VolumeRequest` | `{}` |
 *
 * What fails is answered by `ErrorAnswer` and a status code of its own.
 */
import { z } from 'zod';
import type { FaultKind } from '../../base/fault.ts';
import type { HandoverReport } from '../../core/server.ts';
import type { ServerStatus } from '../../core/status.ts';

export const volumeRequest = z.strictObject({ volume: z.string().min(1).max(64) });
export type VolumeRequest = z.output<typeof volumeRequest>;

export interface StatusAnswer {
  readonly cluster: string;
  /** Ms since this process began to take part. */
  readonly upMs: number;
  readonly status: ServerStatus;
}

/** One line of a streamed answer; exactly one of the keys is there. */
export type ProgressLine =
  | { readonly progress: string }
  | { readonly done: HandoverReport }
  | { readonly error: string; readonly kind: FaultKind };

export interface ErrorAnswer {
  readonly error: string;
  readonly kind: FaultKind;
}
