/**
 * The admin HTTP of one server: status and the few commands, for those who hold the cluster's key. It decides nothing;
 * it asks the server and tells what comes back.
 */
import type { Server as HttpServer } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import { Hono } from 'hono';
import type { Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { stream } from 'hono/streaming';
import { Fault } from '../../base/fault.ts';
import type { Incarnation, ServerId, VolumeName } from '../../base/names.ts';
import type { ServerControl } from '../../core/server.ts';
import type { Address } from '../config/units.ts';
import { formatAddress } from '../config/units.ts';
import { done } from '../exit.ts';
import type { History } from '../history.ts';
import type { Reloaded } from '../late-volumes.ts';
import type { Judgement } from '../machine/virtual.ts';
import { endedReport, volumeRequest } from './messages.ts';
import type { ErrorAnswer, EventsAnswer, ProgressLine, StatusAnswer } from './messages.ts';
import { Challenges, PROOF_HEADER, Prover, readAuthorization, sameProof } from './proof.ts';

/** Requests are names of volumes. */
const MOST_BODY_BYTES = 4_096;
/** Administrators are few: 64 connections of at most some KiB each. */
const MOST_CONNECTIONS = 64;

export interface AdminOptions {
  readonly address: Address;
  readonly cluster: string;
  readonly clusterKey: Buffer;
  readonly control: ServerControl;
  /** A supervisor reports that an incarnation of its server has ended; false when there is no such other server. */
  readonly ended: (server: ServerId, incarnation: Incarnation) => boolean;
  readonly history: History;
  readonly machine: Judgement;
  /** Reads the configuration again. Throws a Fault. */
  readonly reload: () => Promise<Reloaded>;
  /** A clock that never steps, in milliseconds. */
  readonly nowMs: () => number;
  /** Told of an exception within a request: a bug. */
  readonly bug: (error: unknown) => void;
}

export interface AdminServer {
  close(): Promise<void>;
}

type Variables = { challenge: string; body: string };
type AdminContext = Context<{ Variables: Variables }>;

/** Listens at the admin address. Fault `refused` when it is taken or not this machine's. */
export function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const server = createAdaptorServer({ fetch: adminRoutes(options).fetch }) as HttpServer;
  server.maxConnections = MOST_CONNECTIONS;
  server.headersTimeout = 5_000;
  server.requestTimeout = 10_000;
  server.keepAliveTimeout = 5_000;
  const { host, port } = options.address;
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const where = formatAddress(options.address);
      reject(new Fault('refused', `cannot listen at the admin address ${where}: ${error.message}`, error));
    });
    server.listen(port, host, () => {
      server.removeAllListeners('error');
      server.on('error', options.bug);
      resolve({ close: () => closeHttp(server) });
    });
  });
}

function closeHttp(server: HttpServer): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function adminRoutes(options: AdminOptions): Hono<{ Variables: Variables }> {
  const prover = new Prover(options.clusterKey);
  const challenges = new Challenges(options.nowMs);
  const startedMs = options.nowMs();
  const app = new Hono<{ Variables: Variables }>();

  const answer = (c: AdminContext, status: 200 | 400 | 404 | 409 | 503, value: unknown): Response => {
    const text = JSON.stringify(value);
    c.header(PROOF_HEADER, prover.answer(c.get('challenge'), status, text));
    return c.body(text, status, { 'content-type': 'application/json' });
  };
  const fail = (c: AdminContext, fault: Fault): Response => {
    const value: ErrorAnswer = { error: fault.message, kind: fault.kind };
    return answer(
      c,
      fault.kind === 'missing' ? 404 : fault.kind === 'refused' ? 400 : fault.kind === 'conflict' ? 409 : 503,
      value,
    );
  };

  app.get('/v1/challenge', (c) => c.json({ challenge: challenges.issue() }));
  app.use(
    bodyLimit({
      maxSize: MOST_BODY_BYTES,
      onError: (c) => c.json({ error: 'the request is too long', kind: 'refused' }, 413),
    }),
  );
  app.use(async (c, next) => {
    const claimed = readAuthorization(c.req.header('authorization'));
    const body = await c.req.text();
    const url = new URL(c.req.url);
    const proven =
      claimed !== null &&
      challenges.isGood(claimed.challenge) &&
      sameProof(prover.request(claimed.challenge, c.req.method, url.pathname + url.search, body), claimed.proof);
    if (!proven) return c.json({ error: "the request is not proven with this cluster's key", kind: 'refused' }, 401);
    challenges.use(claimed.challenge);
    c.set('challenge', claimed.challenge);
    c.set('body', body);
    return next();
  });

  app.get('/v1/status', (c) => {
    const value: StatusAnswer = {
      cluster: options.cluster,
      pid: process.pid,
      upMs: options.nowMs() - startedMs,
      machine: options.machine,
      status: options.control.status(),
    };
    return answer(c, 200, value);
  });
  app.post('/v1/takeover', (c) => {
    const volume = readVolume(c, options.control);
    if (volume instanceof Fault) return fail(c, volume);
    return streamed(c, prover, (progress, done) => options.control.takeover(volume, progress, done));
  });
  app.post('/v1/drain', (c) => {
    const volume = readVolume(c, options.control);
    if (volume instanceof Fault) return fail(c, volume);
    return streamed(c, prover, (progress, done) => options.control.drain(volume, progress, done));
  });
  app.get('/v1/events', (c) => {
    const number = (name: string): number => Number(c.req.query(name) ?? 0);
    const value: EventsAnswer = { events: options.history.after(number('after') || 0, number('most') || undefined) };
    return answer(c, 200, value);
  });
  app.post('/v1/reload', async (c) => {
    try {
      return answer(c, 200, await options.reload());
    } catch (error) {
      if (error instanceof Fault) return fail(c, error);
      throw error;
    }
  });
  app.post('/v1/accept-loss', async (c) => {
    const volume = readVolume(c, options.control);
    if (volume instanceof Fault) return fail(c, volume);
    try {
      await done((settle) => options.control.acceptLoss(volume, settle));
    } catch (error) {
      if (error instanceof Fault) return fail(c, error);
      throw error;
    }
    return answer(c, 200, {});
  });
  app.post('/v1/ended', (c) => {
    const report = endedReport.safeParse(readJson(c.get('body')));
    if (!report.success) return fail(c, new Fault('refused', 'the report must name a server and its incarnations'));
    const { server, incarnations } = report.data;
    for (const incarnation of incarnations) {
      if (options.ended(server as ServerId, incarnation as Incarnation)) continue;
      return fail(c, new Fault('missing', `this server has no peer "${server}"`));
    }
    return answer(c, 200, {});
  });
  app.notFound((c) => fail(c, new Fault('missing', `this server knows no ${c.req.method} ${c.req.path}`)));
  app.onError((error, c) => {
    options.bug(error);
    return c.json({ error: 'a bug ended this server: see its log', kind: 'io' }, 500);
  });
  return app;
}

/** The body as a value; undefined when it is not JSON. */
function readJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** The volume that the request's body names, or what is wrong with it. */
function readVolume(c: AdminContext, control: ServerControl): VolumeName | Fault {
  const value = readJson(c.get('body'));
  if (value === undefined) return new Fault('refused', 'the request is not JSON');
  const read = volumeRequest.safeParse(value);
  if (!read.success) return new Fault('refused', 'the request must be { "volume": NAME }');
  const name = read.data.volume as VolumeName;
  const known = control.status().volumes.some((volume) => volume.volume === name);
  return known ? name : new Fault('missing', `this server has no volume "${name}"`);
}

type Streamed<Report> = (
  progress: (text: string) => void,
  done: (fault: Fault | null, report: Report | null) => void,
) => void;

/** Each step as one proven line. What was asked for goes on even if nobody listens any more. */
function streamed<Report>(c: AdminContext, prover: Prover, run: Streamed<Report>): Response {
  const challenge = c.get('challenge');
  c.header('content-type', 'application/x-ndjson');
  return stream(c, async (out) => {
    let index = 0;
    let last: Promise<unknown> = Promise.resolve();
    const say = (line: ProgressLine<Report>): void => {
      const text = JSON.stringify(line);
      const proven = `${prover.line(challenge, index, text)} ${text}\n`;
      index += 1;
      last = last.then(() => out.write(proven));
    };
    await new Promise<void>((resolve) => {
      run(
        (text) => say({ progress: text }),
        (fault, report) => {
          if (report !== null) say({ done: report });
          else say({ error: fault?.message ?? 'it failed', kind: fault?.kind ?? 'io' });
          resolve();
        },
      );
    });
    await last;
  });
}
