/**
 * What a process speaks on the link: versions and features as its program offers them, and each connection's way of
 * putting messages into bytes. The real handshake's rules choose, and the real codec writes and reads at the version
 * chosen, so that what a version lacks is lacking here too, whatever fields and messages later versions bring.
 */
import { Fault } from '../src/base/fault.ts';
import type { LinkMessage } from '../src/ports/link.ts';
import { FEATURES, MAX_VERSION, MIN_VERSION } from '../src/wire/link-conversation.ts';
import { FLAG_IGNORABLE, FrameReader, FrameWriter } from '../src/wire/link-frame.ts';
import { decodeMessage } from '../src/wire/link-messages.ts';

/** What a process offers in its handshakes. */
export interface Offer {
  readonly minVersion: number;
  readonly maxVersion: number;
  readonly features: number;
}

/**
 * The program that a server runs: the one before this, without optional features; this one; the next, which still speaks
 * this one's version, and has a feature and messages that nobody knows yet; or one that has left all of that behind.
 */
export type Program = 'older' | 'this' | 'newer' | 'distant';

/** A feature bit of the next program. */
const UNKNOWN_FEATURE = 2 ** 40;
/** A message of the next program, which others may skip. */
const UNKNOWN_TYPE = 250;
const UNKNOWN_BODY = Buffer.from('what an older reader skips');

export function offerOf(program: Program): Offer {
  switch (program) {
    case 'older':
      return { minVersion: MIN_VERSION, maxVersion: Math.max(MIN_VERSION, MAX_VERSION - 1), features: 0 };
    case 'this':
      return { minVersion: MIN_VERSION, maxVersion: MAX_VERSION, features: FEATURES };
    case 'newer':
      return { minVersion: MIN_VERSION, maxVersion: MAX_VERSION + 1, features: FEATURES + UNKNOWN_FEATURE };
    case 'distant':
      return { minVersion: MAX_VERSION + 1, maxVersion: MAX_VERSION + 2, features: UNKNOWN_FEATURE };
  }
}

/** One direction of one connection, in bytes. */
export class Speech {
  readonly #writer: FrameWriter;
  readonly #reader: FrameReader;
  readonly #version: number;
  /** The speaker is of the next program and says now and then what this one does not know. */
  readonly #chatters: boolean;
  #said = 0;

  constructor(version: number, speaker: Offer, firstCounter: number) {
    this.#version = version;
    this.#writer = new FrameWriter(version, firstCounter);
    this.#reader = new FrameReader(firstCounter);
    this.#chatters = speaker.maxVersion > MAX_VERSION;
  }

  /** What leaves the speaker's process for this message. */
  say(message: LinkMessage): Buffer {
    if (this.#chatters && this.#said++ % 7 === 0) this.#writer.writeRaw(UNKNOWN_TYPE, FLAG_IGNORABLE, UNKNOWN_BODY);
    this.#writer.write(message);
    return Buffer.concat(this.#writer.take());
  }

  /** What the listener understands: the message, or why it would end the connection. */
  hear(bytes: Buffer): LinkMessage | Fault {
    this.#reader.feed(bytes);
    let heard: LinkMessage | null = null;
    for (;;) {
      const frame = this.#reader.next();
      if (frame === null) return heard ?? new Fault('corrupt', 'bytes without a message');
      if (frame instanceof Fault) return frame;
      const message = decodeMessage(frame.type, frame.control, frame.operations, this.#version);
      if (message instanceof Fault) return message;
      if (message !== null) heard = message;
      else if (!frame.ignorable) return new Fault('corrupt', `a frame of type ${frame.type}, which nobody knows`);
    }
  }
}
