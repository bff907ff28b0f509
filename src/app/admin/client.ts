/**
 * Asks a server's admin HTTP: proves each request, checks the proof of each answer, bounds how long it waits.
 */
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { Fault } from '../../base/fault.ts';
import type { FaultKind } from '../../base/fault.ts';
import type { DrainReport } from '../../core/drain.ts';
import type { HandoverReport } from '../../core/server.ts';
import type { VolumeStatus } from '../../core/status.ts';
import type { PastEvent } from '../history.ts';
import type { Address } from '../config/units.ts';
import { formatAddress } from '../config/units.ts';
import type { ErrorAnswer, EventsAnswer, ProgressLine, ReloadAnswer, StatusAnswer } from './messages.ts';
import { authorization, PROOF_HEADER, Prover, sameProof } from './proof.ts';

/** Longest answer that is read: the status of 64 volumes takes less than a tenth of it. */
const MOST_ANSWER_BYTES = 4 << 20;
/** A takeover or drain that says nothing for so long is given up by the asker. It may go on. */
const SILENT_MS = 60_000;
/** A server that finds new volumes makes their journals, ms: 64 GiB of zeroes at some hundred MiB/s. */
const RELOAD_MS = 300_000;

/** No answer came: the server is down, or something is between. */
export class Unreachable extends Error {
  constructor(address: Address, why: string) {
    super(`no answer from ${formatAddress(address)}: ${why}`);
    this.name = 'Unreachable';
  }
}

/** One server's admin HTTP, as seen from a command. */
export class AdminClient {
  readonly address: Address;
  readonly #prover: Prover;
  readonly #deadlineMs: number;

  /** `deadlineMs` bounds each request but those that do long work. */
  constructor(address: Address, clusterKey: Buffer, deadlineMs: number) {
    this.address = address;
    this.#prover = new Prover(clusterKey);
    this.#deadlineMs = deadlineMs;
  }

  /** What the server says of itself. Throws `Unreachable` or a Fault. */
  async status(): Promise<StatusAnswer> {
    return completed((await this.#ask('GET', '/v1/status', '')) as StatusAnswer);
  }

  async acceptLoss(volume: string): Promise<void> {
    await this.#ask('POST', '/v1/accept-loss', JSON.stringify({ volume }));
  }

  /** A supervisor's word: these incarnations of `server` have ended. */
  async reportEnds(server: string, incarnations: readonly string[]): Promise<void> {
    await this.#ask('POST', '/v1/ended', JSON.stringify({ server, incarnations }));
  }

  /** What the server told of late: numbers above `after`, at most the newest `most`; 0 for all that it keeps. */
  async events(after: number, most: number): Promise<readonly PastEvent[]> {
    return ((await this.#ask('GET', `/v1/events?after=${after}&most=${most}`, '')) as EventsAnswer).events;
  }

  /** Has the server read its configuration again and look for volumes that were created. */
  async reload(): Promise<ReloadAnswer> {
    return (await this.#ask('POST', '/v1/reload', '', RELOAD_MS)) as ReloadAnswer;
  }

  /** Has the server take the volume over, telling each step. */
  async takeover(volume: string, progress: (text: string) => void): Promise<HandoverReport> {
    return (await this.#streamed('/v1/takeover', volume, progress)) as HandoverReport;
  }

  /** Has the server write out what it holds of the volume, telling each step. */
  async drain(volume: string, progress: (text: string) => void): Promise<DrainReport> {
    return (await this.#streamed('/v1/drain', volume, progress)) as DrainReport;
  }

  async #streamed(path: string, volume: string, progress: (text: string) => void): Promise<unknown> {
    const body = JSON.stringify({ volume });
    const challenge = await this.#challenge();
    const response = await this.#send('POST', path, body, challenge, SILENT_MS);
    if (response.headers['content-type'] !== 'application/x-ndjson') {
      await this.#read(response, challenge);
      throw new Fault('corrupt', `the answer from ${formatAddress(this.address)} is not what was asked for`);
    }
    let index = 0;
    for await (const text of linesOf(response, this.address)) {
      const proof = text.slice(0, 64);
      const json = text.slice(65);
      if (!sameProof(proof, this.#prover.line(challenge, index, json))) throw this.#unproven();
      index += 1;
      const line = JSON.parse(json) as ProgressLine;
      if ('progress' in line) progress(line.progress);
      else if ('done' in line) return line.done;
      else throw new Fault(line.kind, line.error);
    }
    throw new Unreachable(
      this.address,
      'it fell silent before that had ended; `holdfast status` shows what became of it',
    );
  }

  async #ask(method: string, path: string, body: string, deadlineMs: number = this.#deadlineMs): Promise<unknown> {
    const challenge = await this.#challenge();
    return this.#read(await this.#send(method, path, body, challenge, deadlineMs), challenge);
  }

  async #challenge(): Promise<string> {
    const response = await this.#send('GET', '/v1/challenge', '', null, this.#deadlineMs);
    const text = await textOf(response, this.address);
    try {
      const { challenge } = JSON.parse(text) as { challenge: unknown };
      if (typeof challenge === 'string') return challenge;
    } catch {
      // Said below.
    }
    throw new Unreachable(this.address, 'what answers there is no Holdfast server');
  }

  /** The body of a proven answer; throws the fault it tells of. */
  async #read(response: IncomingMessage, challenge: string): Promise<unknown> {
    const text = await textOf(response, this.address);
    const status = response.statusCode ?? 0;
    const proof = response.headers[PROOF_HEADER];
    if (status === 401) {
      throw new Fault(
        'refused',
        `${formatAddress(this.address)} does not know this key: it belongs to another cluster`,
      );
    }
    if (typeof proof !== 'string' || !sameProof(proof, this.#prover.answer(challenge, status, text)))
      throw this.#unproven();
    const value = JSON.parse(text) as unknown;
    if (status === 200) return value;
    const { error, kind } = value as ErrorAnswer;
    throw new Fault(kind satisfies FaultKind, error);
  }

  #unproven(): Fault {
    const where = formatAddress(this.address);
    return new Fault('corrupt', `the answer from ${where} is not proven with this cluster's key: it is not believed`);
  }

  #send(
    method: string,
    path: string,
    body: string,
    challenge: string | null,
    silentMs: number,
  ): Promise<IncomingMessage> {
    const headers: Record<string, string> = { 'content-length': String(Buffer.byteLength(body)) };
    if (challenge !== null) {
      headers['authorization'] = authorization(challenge, this.#prover.request(challenge, method, path, body));
    }
    const { host, port } = this.address;
    return new Promise((resolve, reject) => {
      const sent = request({ host, port, method, path, headers, agent: false }, resolve);
      sent.setTimeout(silentMs, () => sent.destroy(new Error(`nothing came for ${silentMs / 1_000} s`)));
      sent.on('error', (error) => reject(new Unreachable(this.address, reasonOf(error))));
      sent.end(body);
    });
  }
}

/** What a server of an earlier version does not tell, while the servers are upgraded one by one. */
function completed(answer: StatusAnswer): StatusAnswer {
  const machine = answer.machine ?? { virtual: false, why: 'an earlier version of Holdfast, which does not look' };
  const volumes = answer.status.volumes.map((volume): VolumeStatus => {
    const untold: Partial<VolumeStatus> = {
      takeoverRefusals: volume.takeoverRefusal === null ? [] : [volume.takeoverRefusal],
      handoverRefusals: [],
      brake: { handover: null, giveback: null },
      finding: null,
      degraded: 'write-through',
      reads: 'leased',
      giveback: 'manual',
    };
    return { ...untold, ...volume };
  });
  return { ...answer, machine, status: { ...answer.status, volumes } };
}

/** A connection's error in a few words. */
function reasonOf(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ECONNREFUSED':
      return 'the connection was refused; the server is not running';
    case 'ECONNRESET':
      return 'the connection was cut';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'there is no way to it';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'its name is not known';
    default:
      return error.message;
  }
}

async function textOf(response: IncomingMessage, address: Address): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MOST_ANSWER_BYTES) throw new Error('the answer is too long');
      chunks.push(chunk);
    }
  } catch (error) {
    throw new Unreachable(address, reasonOf(error as NodeJS.ErrnoException));
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function* linesOf(response: IncomingMessage, address: Address): AsyncGenerator<string> {
  let rest = '';
  response.setEncoding('utf8');
  try {
    for await (const chunk of response as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > MOST_ANSWER_BYTES) throw new Error('the answer is too long');
      yield* lines;
    }
  } catch (error) {
    throw new Unreachable(address, reasonOf(error as NodeJS.ErrnoException));
  }
}
