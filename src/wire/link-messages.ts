/**
 * The link's messages in bytes: one table per message type (docs/link-protocol.md, "Messages"). The numbers and the
 * order of the fields are the protocol: never change or reuse one; add with `since` and a new protocol version.
 */
import { assert, Fault } from '../base/fault.ts';
import type { Epoch, Generation, Sequence, StoreId, VolumeName } from '../base/names.ts';
import type {
  ClientsMessage,
  HandoverAnswerMessage,
  HandoverAskMessage,
  HeartbeatAckMessage,
  HeartbeatGrant,
  HeartbeatMessage,
  HeartbeatVolume,
  LinkMessage,
  MirrorLife,
  MirrorMessage,
  ReleaseMessage,
  ResyncBeginMessage,
  ResyncReadyMessage,
  ResyncSealedMessage,
  ResyncSealMessage,
  ServingMessage,
  StoredMessage,
  TailAskMessage,
  TailMessage,
  TakePleaseMessage,
} from '../ports/link.ts';
import { ControlReader, type ControlWriter } from './link-control.ts';
import type { RecordField, Table } from './link-fields.ts';
import { flag, list, name, operations, optional, real, record, sentence, u64, word } from './link-fields.ts';

/** Longest name of a volume, server, store or nonce on the link, bytes of UTF-8. */
export const MAX_NAME_BYTES = 255;
/** Longest sentence for a person on the link, bytes of UTF-8; longer ones are cut. */
export const MAX_SENTENCE_BYTES = 1024;
/** Most volumes that one heartbeat speaks of. */
export const MAX_HEARTBEAT_VOLUMES = 2048;
/** Most clients that one message tells of. */
export const MAX_CLIENTS = 512;

const volume = name<VolumeName>(MAX_NAME_BYTES);
const epoch = u64<Epoch>();
const generation = u64<Generation>();
const sequence = u64<Sequence>();
const store = name<StoreId>(MAX_NAME_BYTES);
const nonce = name<string>(MAX_NAME_BYTES);
const count = u64<number>();
const why = sentence(MAX_SENTENCE_BYTES);

const life: Table<MirrorLife> = { volume, epoch, generation };

/** A message type on the wire: its number and its fields. */
interface Row {
  readonly code: number;
  /** The first protocol version that has it. */
  readonly since: number;
  readonly field: RecordField<object>;
}
type RowOf<M extends LinkMessage> = Omit<Row, 'field'> & { readonly field: RecordField<Omit<M, 'type'>> };

function row<M extends LinkMessage>(code: number, table: Table<M>, since: number = 1): RowOf<M> {
  return { code, since, field: record<Omit<M, 'type'>>(table as Table<Omit<M, 'type'>>) };
}

const ROWS: { readonly [T in LinkMessage['type']]: RowOf<Extract<LinkMessage, { readonly type: T }>> } = {
  mirror: row<MirrorMessage>(1, { ...life, acknowledged: sequence, released: sequence, operations }),
  stored: row<StoredMessage>(2, {
    ...life,
    store,
    received: sequence,
    stored: sequence,
    released: sequence,
    gap: flag,
  }),
  release: row<ReleaseMessage>(3, { ...life, released: sequence, acknowledged: sequence }),
  heartbeat: row<HeartbeatMessage>(4, {
    sentAtMs: real,
    unfit: optional(why),
    entry: count,
    volumes: list(
      record<HeartbeatVolume>({ ...life, acknowledged: sequence, released: sequence, sent: sequence }),
      MAX_HEARTBEAT_VOLUMES,
    ),
  }),
  'heartbeat-ack': row<HeartbeatAckMessage>(5, {
    sentAtMs: real,
    grants: list(
      record<HeartbeatGrant>({
        ...life,
        granted: flag,
        copy: optional(record({ store, received: sequence, stored: sequence, released: sequence })),
      }),
      MAX_HEARTBEAT_VOLUMES,
    ),
  }),
  'resync-begin': row<ResyncBeginMessage>(6, { ...life, base: sequence }),
  'resync-ready': row<ResyncReadyMessage>(7, {
    ...life,
    store,
    capacityBytes: count,
    base: sequence,
    refusal: optional(why),
  }),
  'resync-seal': row<ResyncSealMessage>(8, { ...life }),
  'resync-sealed': row<ResyncSealedMessage>(9, { ...life, store }),
  'tail-ask': row<TailAskMessage>(10, { ...life, store, from: sequence }),
  tail: row<TailMessage>(11, {
    ...life,
    store,
    last: optional(sequence),
    released: sequence,
    acknowledged: sequence,
    operations,
    refusal: optional(why),
  }),
  'handover-ask': row<HandoverAskMessage>(12, { volume, epoch, nonce }),
  'handover-answer': row<HandoverAnswerMessage>(13, {
    volume,
    epoch,
    nonce,
    state: word<HandoverAnswerMessage['state']>({ draining: 0, quiesced: 1, agreed: 2, refused: 3 }),
    undestagedBytes: count,
    refusal: optional(why),
  }),
  'take-please': row<TakePleaseMessage>(14, { volume, epoch, why }),
  serving: row<ServingMessage>(15, { volume, epoch }),
  clients: row<ClientsMessage>(16, { volume, epoch, clients: list(name(MAX_NAME_BYTES), MAX_CLIENTS) }, 2),
};

/** The first protocol version that has messages of this type: to a peer of an older one they are not sent. */
export const sinceVersion = (type: LinkMessage['type']): number => ROWS[type].since;

/** The same by number, for the decoder. */
const BY_CODE: readonly (Numbered | undefined)[] = indexByCode();

interface Numbered extends Row {
  readonly type: LinkMessage['type'];
}

function indexByCode(): Numbered[] {
  const found: Numbered[] = [];
  for (const [type, { code, since, field }] of Object.entries(ROWS) as [LinkMessage['type'], Row][]) {
    assert(code >= 1 && code <= 255 && found[code] === undefined, `message number ${code} is used once`);
    found[code] = { type, code, since, field };
  }
  return found;
}

/** Writes the message's control part into `to` (reset first) and returns its number; its operations are in `to.operations`. */
export function encodeControl(message: LinkMessage, to: ControlWriter): number {
  const { code, field }: Row = ROWS[message.type];
  to.reset();
  field.write(to, message);
  return code;
}

/**
 * The message of that number. `control` is not kept; the operations of the message share `tail`'s memory, which must
 * not be changed afterwards. Null for a number this version does not know; a fault says what is wrong.
 */
export function decodeMessage(
  code: number,
  control: Buffer,
  tail: Buffer,
  version: number,
): LinkMessage | Fault | null {
  const found = BY_CODE[code];
  if (found === undefined || found.since > version) return null;
  const from = new ControlReader(control, tail, version);
  const message = { type: found.type };
  found.field.fill(from, message);
  const failure = from.finish();
  if (failure !== null) return new Fault('corrupt', `A ${found.type} message is malformed: ${failure}.`);
  return message as LinkMessage;
}
