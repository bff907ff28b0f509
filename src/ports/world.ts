/**
 * The rest of what the core asks of the world: proof of death, fencing, the clients' doors, and somebody to tell.
 */
import type { Done } from '../base/fault.ts';
import type { Epoch, Incarnation, ServerId, VolumeName } from '../base/names.ts';
import type { VolumeService } from './service.ts';

/** Proof that a process has ended (design section 4, step 3). A refused connection is never one. */
export interface Witness {
  /** `ended` only on proof: that incarnation's exclusive local lock was taken, or its supervisor reported its end. */
  ended(server: ServerId, incarnation: Incarnation, done: (verdict: 'ended' | 'alive' | 'unknown') => void): void;
}

/** Keeps a victim from the medium: a hook that an administrator configures, or, within one machine, killing it. */
export interface Fence {
  /** False: nothing keeps that server from the medium, which an administrator accepted; `run` proves nothing. */
  covers(server: ServerId): boolean;
  /** After success of a server that is covered, nothing the victim issued reaches the medium any more. */
  run(victim: { readonly server: ServerId; readonly incarnation: Incarnation }, volume: VolumeName, done: Done): void;
}

/** The clients' doors. Listening is asynchronous; a door that was told to close never reports that it is open. */
export interface Doors {
  /** Listens at the volume's service address and serves `service`. `done` once clients can connect. */
  open(volume: VolumeName, epoch: Epoch, service: VolumeService, done: Done): void;
  /**
   * Stops listening and takes no new requests; connections stay open and unanswered until `close`. For a planned
   * takeover: `done` once the address is free for the next owner.
   */
  hold(volume: VolumeName, done: () => void): void;
  /** Closes listener and connections at once; requests not answered stay so. Harmless when there is nothing. */
  close(volume: VolumeName, why: string): void;
  /** Who is connected to the volume's door, each as `address port`. */
  clients?(volume: VolumeName): readonly string[];
  /**
   * The owner of `epoch` says who is connected to it: whoever takes its address over is to reset them. Left out where
   * service addresses do not move; nobody is told of clients then.
   */
  clientsElsewhere?(volume: VolumeName, epoch: Epoch, clients: readonly string[]): void;
}

/** What the core tells: for the log, the event history, the demo and the simulator's timeline. Never read back by the core. */
export interface Observer {
  /** `event` is a dotted name (docs/operating.md lists them), `fields` plain values. */
  note(
    event: string,
    volume: VolumeName | null,
    fields: Readonly<Record<string, string | number | boolean | null>>,
  ): void;
}
