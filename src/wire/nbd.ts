/**
 * The numbers of the NBD protocol, as its document gives them (NetworkBlockDevice/nbd, doc/proto.md, "Values"), and
 * their names for logs. No sockets and no state: the parsers and encoders beside this file are built on it.
 */

/** Magic numbers; the 64 bit ones as two halves, high first. */
export const Magic = {
  /** 'NBDMAGIC' */
  initHigh: 0x4e42444d,
  initLow: 0x41474943,
  /** 'IHAVEOPT' */
  optionHigh: 0x49484156,
  optionLow: 0x454f5054,
  optionReplyHigh: 0x0003e889,
  optionReplyLow: 0x045565a9,
  request: 0x25609513,
  extendedRequest: 0x21e41c71,
  simpleReply: 0x67446698,
  structuredReply: 0x668e33ef,
  extendedReply: 0x6e8a278c,
} as const;

/** Handshake flags (server) and client flags share their bits. */
export const HandshakeFlag = { fixedNewstyle: 1, noZeroes: 2 } as const;

/** What the export can do, sent when transmission begins. */
export const TransmissionFlag = {
  hasFlags: 1 << 0,
  readOnly: 1 << 1,
  sendFlush: 1 << 2,
  sendFua: 1 << 3,
  rotational: 1 << 4,
  sendTrim: 1 << 5,
  sendWriteZeroes: 1 << 6,
  sendDf: 1 << 7,
  canMultiConn: 1 << 8,
  sendResize: 1 << 9,
  sendCache: 1 << 10,
  sendFastZero: 1 << 11,
} as const;

export const Option = {
  exportName: 1,
  abort: 2,
  list: 3,
  peekExport: 4,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
  extendedHeaders: 11,
} as const;

/** Types of option replies; bit 31 marks errors. */
export const OptionReply = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  errUnsupported: 0x80000001,
  errPolicy: 0x80000002,
  errInvalid: 0x80000003,
  errPlatform: 0x80000004,
  errTlsRequired: 0x80000005,
  errUnknown: 0x80000006,
  errShutdown: 0x80000007,
  errBlockSizeRequired: 0x80000008,
  errTooBig: 0x80000009,
  errExtendedHeadersRequired: 0x8000000a,
} as const;

/** Information types of INFO and GO. */
export const Info = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

export const Command = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
  resize: 8,
} as const;

export const CommandFlag = {
  fua: 1 << 0,
  noHole: 1 << 1,
  dontFragment: 1 << 2,
  reqOne: 1 << 3,
  fastZero: 1 << 4,
  /** Only with extended headers: `length` counts payload bytes that follow. */
  payloadLength: 1 << 5,
} as const;

export const ReplyFlag = { done: 1 } as const;

/** Types of structured and extended reply chunks; bit 15 marks errors. */
export const ChunkType = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  blockStatusExtended: 6,
  error: 0x8001,
  errorOffset: 0x8002,
} as const;

/** Flags of `base:allocation`. */
export const AllocationState = { hole: 1, zero: 2 } as const;

/** The one metadata context that the document itself defines. */
export const BASE_ALLOCATION = 'base:allocation';

/** The error values that the document allows; 0 is success. */
export const NbdError = {
  ok: 0,
  perm: 1,
  io: 5,
  noMemory: 12,
  invalid: 22,
  noSpace: 28,
  overflow: 75,
  notSupported: 95,
  shutdown: 108,
} as const;
export type NbdError = (typeof NbdError)[keyof typeof NbdError];

/** Longest string (export name, query, message) that the document allows, in bytes. */
export const MAX_STRING_BYTES = 4096;

/** Payload that every server has to accept without calling it a denial of service ("Block size constraints"). */
export const PORTABLE_PAYLOAD_BYTES = 32 << 20;

/** How requests and replies of a connection are framed, as negotiated. */
export type ReplyStyle = 'simple' | 'structured' | 'extended';

/** Bytes of a reply's header in each style; simple is also allowed for replies without data in the structured style. */
export const SIMPLE_REPLY_BYTES = 16;
export const STRUCTURED_REPLY_BYTES = 20;
export const EXTENDED_REPLY_BYTES = 32;
export const COMPACT_REQUEST_BYTES = 28;
export const EXTENDED_REQUEST_BYTES = 32;

const nameIn = (table: Readonly<Record<string, number>>, value: number): string =>
  Object.keys(table).find((key) => table[key] === value) ?? `number ${value}`;

/** A command's name for people; unknown ones as their number. */
export const commandName = (type: number): string => nameIn(Command, type);
/** An option's name for people; unknown ones as their number. */
export const optionName = (option: number): string => nameIn(Option, option);
/** An error value's name for people; unknown ones as their number. */
export const errorName = (error: number): string => nameIn(NbdError, error);
