/**
 * The handshake of one connection: what each option is answered by, and what is agreed in the end (document: "Option
 * types"). It touches no socket: bytes are pushed, replies are collected in `replies`, `next` says what follows.
 */
import {
  BASE_ALLOCATION,
  HandshakeFlag,
  Info,
  Option,
  optionName,
  OptionReply,
  type ReplyStyle,
  TransmissionFlag,
} from '../../wire/nbd.ts';
import {
  decodeInfoRequest,
  decodeMetaRequest,
  decodeString,
  exportNameReply,
  greeting,
  HandshakeParser,
  infoBlockSize,
  infoExport,
  infoString,
  MAX_OPTION_BYTES,
  metaContextReply,
  optionError,
  optionReply,
  serverReply,
} from '../../wire/nbd-handshake.ts';
import { MINIMUM_BLOCK_BYTES, type NbdLimits, PREFERRED_BLOCK_BYTES } from './limits.ts';
import { ALLOCATION_CONTEXT_ID } from './status-reply.ts';
import type { Agreement } from './transmission.ts';

/** What follows the options handled so far; `replies` are to be sent in every case but `fail`. */
export type NegotiationStep =
  | { readonly kind: 'starved' }
  /** Transmission begins behind the replies. */
  | { readonly kind: 'agreed'; readonly agreement: Agreement }
  /** The client is leaving: close behind the replies. */
  | { readonly kind: 'aborted' }
  /** Close at once. */
  | { readonly kind: 'fail'; readonly reason: string };

/** The export as the handshake presents it. */
export interface Offer {
  readonly name: string;
  readonly sizeBytes: number;
  readonly limits: NbdLimits;
  /** Null when the connection may be served; else why it may not be, a sentence for the client's user. */
  readonly refusal: string | null;
}

const STARVED: NegotiationStep = { kind: 'starved' };
const ABORTED: NegotiationStep = { kind: 'aborted' };
const fail = (reason: string): NegotiationStep => ({ kind: 'fail', reason });

const CLIENT_FLAGS = HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes;

export class Negotiation {
  readonly parser = new HandshakeParser();
  /** What to send, in order; whoever sends it empties it. */
  readonly replies: Buffer[] = [greeting(CLIENT_FLAGS)];
  readonly #offer: Offer;
  #flags = 0;
  #options = 0;
  #style: ReplyStyle = 'simple';
  /** The export for which `base:allocation` was selected last, by the name that the client used; null for none. */
  #allocationOf: string | null = null;

  constructor(offer: Offer) {
    this.#offer = offer;
  }

  /** Handles what was pushed until something other than an answer follows. */
  next(): NegotiationStep {
    for (;;) {
      const event = this.parser.next();
      switch (event.kind) {
        case 'starved':
          return STARVED;
        case 'garbage':
          return fail(event.reason);
        case 'flags':
          if ((event.flags & ~CLIENT_FLAGS) !== 0)
            return fail(`client flags 0x${event.flags.toString(16)} are unknown`);
          this.#flags = event.flags;
          break;
        case 'option': {
          const step = this.#option(event.option, event.data, event.tooBig);
          if (step !== null) return step;
        }
      }
    }
  }

  /** One option; null when its answer is all there was to do. */
  #option(option: number, data: Buffer, tooBig: boolean): NegotiationStep | null {
    if (++this.#options > this.#offer.limits.maxOptions)
      return fail(`more than ${this.#offer.limits.maxOptions} options`);
    if (option === Option.exportName) return this.#exportName(data, tooBig);
    if ((this.#flags & HandshakeFlag.fixedNewstyle) === 0) {
      return fail(`option ${optionName(option)} without the fixed newstyle handshake`);
    }
    if (option === Option.abort) {
      this.#reply(option, OptionReply.ack);
      return ABORTED;
    }
    if (tooBig) {
      // SET_META_CONTEXT voids the earlier selection even when it fails
      if (option === Option.setMetaContext) this.#allocationOf = null;
      this.#error(option, OptionReply.errTooBig, `more than ${MAX_OPTION_BYTES} bytes of option data`);
      return null;
    }
    switch (option) {
      case Option.list:
        this.#list(data);
        return null;
      case Option.info:
      case Option.go:
        return this.#info(option, data);
      case Option.structuredReply:
        this.#structuredReply(data);
        return null;
      case Option.extendedHeaders:
        if (!this.#unwantedData(option, data)) {
          this.#style = 'extended';
          this.#reply(option, OptionReply.ack);
        }
        return null;
      case Option.listMetaContext:
      case Option.setMetaContext:
        this.#metaContext(option, data);
        return null;
      case Option.startTls:
        if (!this.#unwantedData(option, data)) {
          this.#error(option, OptionReply.errUnsupported, 'this server does not offer TLS');
        }
        return null;
      default:
        this.#error(option, OptionReply.errUnsupported, `this server does not know option ${option}`);
        return null;
    }
  }

  /** EXPORT_NAME has no error reply: what cannot be granted ends the connection. */
  #exportName(data: Buffer, tooBig: boolean): NegotiationStep {
    const name = tooBig ? null : decodeString(data);
    if (name === null) return fail('the export name is too long or no UTF-8');
    if (!this.#isName(name)) return fail(`no export named ${JSON.stringify(name.slice(0, 64))}`);
    if (this.#style === 'extended') return fail('EXPORT_NAME after extended headers were agreed on');
    if (this.#offer.refusal !== null) return fail(this.#offer.refusal);
    const zeroes = (this.#flags & HandshakeFlag.noZeroes) === 0;
    this.replies.push(exportNameReply(this.#offer.sizeBytes, this.#transmissionFlags(), zeroes));
    return this.#agreed(name);
  }

  #list(data: Buffer): void {
    if (this.#unwantedData(Option.list, data)) return;
    this.replies.push(serverReply(Option.list, this.#offer.name, this.#description()));
    this.#reply(Option.list, OptionReply.ack);
  }

  /** INFO and GO differ in what follows their last reply only. */
  #info(option: number, data: Buffer): NegotiationStep | null {
    const request = decodeInfoRequest(data);
    if (request === null) {
      this.#error(option, OptionReply.errInvalid, 'the request for information is malformed');
      return null;
    }
    if (!this.#isName(request.name)) {
      this.#error(
        option,
        OptionReply.errUnknown,
        `this server has no export of that name; it has ${JSON.stringify(this.#offer.name)}`,
      );
      return null;
    }
    if (this.#offer.refusal !== null) {
      this.#error(option, OptionReply.errPolicy, this.#offer.refusal);
      return null;
    }
    const { sizeBytes, limits, name } = this.#offer;
    this.replies.push(infoExport(option, sizeBytes, this.#transmissionFlags()));
    if (request.wanted.includes(Info.name)) this.replies.push(infoString(option, Info.name, name));
    if (request.wanted.includes(Info.description)) {
      this.replies.push(infoString(option, Info.description, this.#description()));
    }
    if (request.wanted.includes(Info.blockSize)) {
      this.replies.push(infoBlockSize(option, MINIMUM_BLOCK_BYTES, PREFERRED_BLOCK_BYTES, limits.maxPayloadBytes));
    }
    this.#reply(option, OptionReply.ack);
    return option === Option.go ? this.#agreed(request.name) : null;
  }

  #structuredReply(data: Buffer): void {
    const option = Option.structuredReply;
    if (this.#unwantedData(option, data)) return;
    if (this.#style === 'extended') {
      return this.#error(option, OptionReply.errExtendedHeadersRequired, 'extended headers were agreed on already');
    }
    this.#style = 'structured';
    this.#reply(option, OptionReply.ack);
  }

  #metaContext(option: number, data: Buffer): void {
    const set = option === Option.setMetaContext;
    if (set) this.#allocationOf = null;
    if (this.#style === 'simple') {
      return this.#error(option, OptionReply.errInvalid, 'metadata contexts need structured replies');
    }
    const request = decodeMetaRequest(data);
    if (request === null) return this.#error(option, OptionReply.errInvalid, 'the metadata queries are malformed');
    if (!this.#isName(request.name)) return this.#error(option, OptionReply.errUnknown, 'no export of that name');
    if (request.queries.some((query) => !query.includes(':'))) {
      return this.#error(option, OptionReply.errInvalid, 'a metadata query begins with a namespace and a colon');
    }
    const { queries } = request;
    // listing: no query at all and 'base:' stand for everything; selecting: only the exact name does
    const found = queries.includes(BASE_ALLOCATION) || (!set && (queries.length === 0 || queries.includes('base:')));
    if (found) {
      this.replies.push(metaContextReply(option, set ? ALLOCATION_CONTEXT_ID : 0, BASE_ALLOCATION));
      if (set) this.#allocationOf = request.name;
    }
    this.#reply(option, OptionReply.ack);
  }

  #agreed(name: string): NegotiationStep {
    return { kind: 'agreed', agreement: { style: this.#style, allocation: this.#allocationOf === name } };
  }

  /** The empty name is the default export. */
  #isName(name: string): boolean {
    return name === '' || name === this.#offer.name;
  }

  #description(): string {
    return `Holdfast volume ${this.#offer.name}`;
  }

  #transmissionFlags(): number {
    return (
      TransmissionFlag.hasFlags |
      TransmissionFlag.sendFlush |
      TransmissionFlag.sendFua |
      TransmissionFlag.sendTrim |
      TransmissionFlag.sendWriteZeroes |
      TransmissionFlag.sendFastZero |
      TransmissionFlag.sendCache |
      TransmissionFlag.canMultiConn |
      (this.#style === 'simple' ? 0 : TransmissionFlag.sendDf)
    );
  }

  /** True when an option that takes no data came with some, and was answered so. */
  #unwantedData(option: number, data: Buffer): boolean {
    if (data.length === 0) return false;
    this.#error(option, OptionReply.errInvalid, `option ${optionName(option)} takes no data`);
    return true;
  }

  #reply(option: number, type: number): void {
    this.replies.push(optionReply(option, type));
  }

  #error(option: number, type: number, message: string): void {
    this.replies.push(optionError(option, type, message));
  }
}
