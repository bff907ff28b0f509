/**
 * The demo's story: a pair is set up, a client writes a real file through one server, that server is killed in the
 * middle of it, the other carries on, and every acknowledged byte is read back. Everything is real: two processes, two
 * network paths, journals, a shared directory, NBD over TCP; nothing is staged but the pace of the writing.
 */
import { AdminClient } from '../admin/client.ts';
import { formatAddress, formatBytes, formatMs } from '../config/units.ts';
import type { FilesVolumeConfig } from '../config/load.ts';
import { ExitCode, Failure } from '../exit.ts';
import { readClusterKey } from '../key.ts';
import { findRoot } from '../root.ts';
import { waitMs } from '../../core/settings.ts';
import type { VolumeStatus } from '../../core/status.ts';
import { createVolume } from '../volumes.ts';
import { mountCommand, sizeWords } from '../words.ts';
import { makeArchive } from './archive.ts';
import type { Archive } from './archive.ts';
import { ChildServer } from './child.ts';
import { Disk } from './disk.ts';
import { Counter, FileWriter } from './ledger.ts';
import type { Checked } from './ledger.ts';
import type { Place } from './place.ts';
import { clientMeter, ownerMeter } from './meter.ts';
import { until, within } from './patience.ts';
import { Notes } from './notes.ts';
import type { Screen } from './screen.ts';
import { Share } from './share.ts';
import { Timeline } from './timeline.ts';

/** Pace of the writing, so that a person can follow it. */
const BYTES_PER_SECOND = 8 << 20;
/** The owner dies when this much of the file is acknowledged. */
const DEATH_AT = 0.45;

export type ServerName = 'a' | 'b';

/** Everything that runs, so that whoever started it can end it. */
export class Story {
  readonly #screen: Screen;
  readonly #place: Place;
  readonly servers: Readonly<Record<ServerName, ChildServer>>;
  readonly #admins: Readonly<Record<ServerName, AdminClient>>;
  #timeline: Timeline | null = null;
  /** Told once: the client of `one` lost its connection. */
  #ofOne = { lostAtMs: 0, unanswered: 0 };

  constructor(screen: Screen, place: Place) {
    this.#screen = screen;
    this.#place = place;
    const child = (name: ServerName): ChildServer =>
      new ChildServer(name, place.configFile, (line) => {
        if (name === 'b') this.#timeline?.heard(line);
      });
    this.servers = { a: child('a'), b: child('b') };
    const key = readClusterKey(place.config.keyFile);
    const admin = (name: ServerName): AdminClient => new AdminClient(this.#server(name).admin, key, 2_000);
    this.#admins = { a: admin('a'), b: admin('b') };
  }

  /** Plays it; the result is whether every acknowledged byte was there. */
  async play(): Promise<boolean> {
    const { paint } = this.#screen;
    this.#screen.line();
    this.#screen.line(`  ${paint('strong', 'Holdfast')}  every acknowledged write survives: a server is about to die`);
    this.#screen.line();
    await this.#setUp();
    const archive = makeArchive(findRoot());
    const one = this.#disk('one', {
      lost: (unanswered) => this.#clientLost(unanswered),
      back: (attempts) =>
        this.#timeline?.tell('client.back', `client: connected again, at attempt ${attempts}`, Date.now()),
    });
    const two = this.#disk('two', { lost: () => undefined, back: () => undefined });
    const { name, address } = this.#files;
    const share = new Share(address.host, address.port, `/${name}`);
    try {
      return await this.#run(archive, one, two, share);
    } finally {
      one.close();
      two.close();
      share.close();
    }
  }

  async #setUp(): Promise<void> {
    const { paint } = this.#screen;
    const { config } = this.#place;
    this.#screen.say('place', `${this.#place.directory}, removed at the end`);
    let createMedium = true;
    for (const volume of config.volumes) {
      await createVolume(config, volume, { createMedium });
      createMedium = false;
    }
    const disks = config.volumes.filter(({ type }) => type === 'block');
    const sizes = disks.map((volume) => `${volume.name} (${sizeWords(volume)})`).join(' and ');
    this.#screen.say('medium', `the directory shared/ holds the disks ${sizes} as sparse files, and files as a tree`);
    for (const server of Object.values(this.servers)) server.start();
    this.#screen.say(
      'servers',
      `a (pid ${this.servers.a.pid}) and b (pid ${this.servers.b.pid}) start, with two network paths between them`,
    );
    await this.#until('all volumes are mirrored', async () => {
      const of = [this.status('a', 'one'), this.status('b', 'two'), this.status('a', 'files')];
      return (await Promise.all(of)).every((status) => status?.serving === true && status.mirror === 'in-sync');
    });
    const good = paint('good', 'in sync');
    this.#screen.say('mirror', `a owns one and files, b mirrors them: ${good};  b owns two, a mirrors it: ${good}`);
  }

  async #run(archive: Archive, one: Disk, two: Disk, share: Share): Promise<boolean> {
    const { paint } = this.#screen;
    const notes = new Notes(share);
    const writer = new FileWriter(one, archive.bytes, BYTES_PER_SECOND);
    const counter = new Counter(two);
    const what = `a tar of this project, ${archive.files} files, ${formatBytes(archive.bytes.length)}`;
    this.#screen.say('client', `an NBD client writes ${what}, to volume one`);
    this.#screen.say(
      '',
      `at ${formatAddress(this.#volume('one').address)}, 16 writes in flight, paced at ${formatBytes(BYTES_PER_SECOND)}/s; another counts in volume two`,
    );
    this.#screen.say(
      '',
      'a third makes, writes, renames and removes files over NFS, as one does who has mounted the volume files:',
    );
    this.#screen.say('', paint('accent', mountCommand(this.#files, '/mnt')));
    this.#screen.line();
    const written = writer.run();
    const counted = counter.run();
    const noted = notes.run();
    // Whichever fails first is reported where it is awaited.
    for (const running of [written, counted, noted]) running.catch(() => undefined);

    const meter = ownerMeter(this.#screen, writer, () => this.status('a', 'one'));
    this.#screen.move(meter.look);
    await Promise.race([
      written,
      this.#until(
        'a part of the file is written',
        async () => writer.acknowledgedBytes >= archive.bytes.length * DEATH_AT,
        5,
      ),
    ]);
    meter.stop();
    this.#screen.still(true);
    this.#screen.line();
    share.takeLongestMs();
    const before = await this.#kill(writer, counter);
    await this.#afterDeath(writer, one, before);

    if (writer.count < writer.pieces) {
      this.#screen.move(() => clientMeter(this.#screen, writer));
      await written;
      this.#screen.still(true);
      this.#screen.line();
    }
    await written;
    this.#screen.say(
      'client',
      `the file is written: ${writer.count} writes acknowledged, the last ones by b alone, straight to the medium`,
    );
    await this.#returnOfTheDead();
    counter.stop();
    notes.stop();
    await Promise.all([counted, noted]);
    this.#screen.say(
      'files',
      `${notes.changes} files made, renamed and removed, each once; longest wait for an answer ${paint('strong', formatMs(share.takeLongestMs()))}`,
    );
    this.#screen.say(
      'two',
      `${counter.count} writes to volume two, all the while served by b; longest wait for an answer ${paint('strong', formatMs(counter.takeLongestMs()))}`,
    );
    return this.#verify(writer, counter, notes, one, two);
  }

  /** kill -9 in the middle of it; the result names the writes that were acknowledged before. */
  async #kill(writer: FileWriter, counter: Counter): Promise<Uint8Array> {
    const { paint } = this.#screen;
    const status = await this.status('a', 'one').catch(() => null);
    counter.takeLongestMs();
    const answer = writer.nextAnswer();
    const killedMs = Date.now();
    this.#timeline = new Timeline(this.#screen, 'b', 'one', killedMs);
    this.servers.a.kill();
    // What was acknowledged up to here; answers that are still in the socket may follow and are checked in the end.
    const before = writer.snapshot();
    const pending = status === null ? '' : `, ${formatBytes(status.undestagedBytes)} of them not yet on the medium`;
    this.#screen.say(
      paint('bad', 'kill -9'),
      `${paint('bad', 'a is killed')}: ${writer.count} writes are acknowledged${pending}`,
    );
    const how = await this.servers.a.ended;
    this.#timeline.tell('ended', `a has ended (${how})`, Date.now());
    await within(
      answerAfterBreak(answer, writer, () => this.#ofOne.lostAtMs),
      'an answer from the survivor',
    ).then((atMs) => {
      this.#timeline?.tell('answer.first', paint('good', 'client: first answer from b'), atMs);
      this.#timeline?.finish(atMs);
    });
    this.#timeline = null;
    this.#tellOfMachines();
    return before;
  }

  /** Honest about the milliseconds above: on one machine a death can be proven, between machines it is waited for. */
  #tellOfMachines(): void {
    const { timings } = this.#place.config;
    const detection = formatMs(Math.max(timings.silentMs, timings.entryStallMs));
    const lines = [
      "On one machine the dead server's lock is proof at once. Between machines, by default,",
      `detection takes ${detection}, and the wait for its authority to run out ${formatMs(waitMs(timings))}.`,
    ];
    for (const text of lines) this.#screen.line(`            ${this.#screen.paint('dim', text)}`);
    this.#screen.line();
  }

  async #afterDeath(writer: FileWriter, one: Disk, before: Uint8Array): Promise<void> {
    const checked = await writer.check(one, before);
    this.#report(
      'check',
      `what was acknowledged before the death, read from b: ${formatBytes(checked.checkedBytes)}`,
      checked,
    );
    this.#screen.line();
  }

  async #returnOfTheDead(): Promise<void> {
    const { paint } = this.#screen;
    const startedMs = performance.now();
    this.servers.a.start();
    this.#screen.say('a', `is started again (pid ${this.servers.a.pid})`);
    await this.#until('a is back in the mirror', async () => {
      const of = this.#place.config.volumes.map(({ name }) => this.status('b', name));
      return (await Promise.all(of)).every((status) => status?.mirror === 'in-sync');
    });
    this.#screen.say(
      'mirror',
      `all volumes are ${paint('good', 'in sync')} again, ${formatMs(performance.now() - startedMs)} after the start, without an administrator`,
    );
  }

  async #verify(writer: FileWriter, counter: Counter, notes: Notes, one: Disk, two: Disk): Promise<boolean> {
    const { paint } = this.#screen;
    const all = await writer.check(one, writer.snapshot());
    this.#report('verify', `the whole file, read back from volume one: ${formatBytes(all.checkedBytes)}`, all);
    const counts = await counter.check(two);
    this.#report(
      'verify',
      `every block of the counter, read back from volume two: ${formatBytes(counts.checkedBytes)}`,
      counts,
    );
    const kept = await notes.check();
    this.#report(
      'verify',
      `all ${notes.files} files that have to be there, read back: ${formatBytes(kept.checkedBytes)}`,
      kept,
    );
    for (const name of kept.wrongNames)
      this.#screen.say('verify', paint('bad', `${name} is there and must not be, or is not`));
    const lost = all.wrongBytes + counts.wrongBytes + kept.wrongBytes;
    const complete = writer.count === writer.pieces && lost === 0 && kept.wrongNames.length === 0;
    this.#screen.line();
    const words = complete
      ? paint(
          'good',
          `  Every acknowledged byte was there: ${writer.count + counter.count} writes and ${notes.changes} changes of files, one server killed, nothing lost.`,
        )
      : paint('bad', `  ${formatBytes(lost)} of acknowledged bytes are wrong.`);
    this.#screen.line(words);
    this.#screen.line();
    return complete;
  }

  #report(what: string, text: string, checked: Checked): void {
    const { paint } = this.#screen;
    const verdict =
      checked.wrongBytes === 0
        ? paint('good', 'every byte is there')
        : paint('bad', `${checked.wrongBytes} bytes are wrong`);
    this.#screen.say(what, `${text}: ${verdict}`);
  }

  #clientLost(unanswered: number): void {
    this.#ofOne = { lostAtMs: Date.now(), unanswered };
    this.#timeline?.tell(
      'client.lost',
      `client: the connection broke, ${unanswered} writes are unanswered and will be sent again`,
      Date.now(),
    );
  }

  /** What a server says of a volume; null when it does not know it. Throws when it does not answer. */
  async status(server: ServerName, volume: string): Promise<VolumeStatus | null> {
    const { status } = await this.#admins[server].status();
    return status.volumes.find((one) => one.volume === volume) ?? null;
  }

  #disk(volume: string, events: ConstructorParameters<typeof Disk>[3]): Disk {
    const { host, port } = this.#volume(volume).address;
    return new Disk(host, port, volume, events);
  }

  get #files(): FilesVolumeConfig {
    const volume = this.#volume('files');
    if (volume.type !== 'files') throw new Error('broken invariant: the volume files is one of files');
    return volume;
  }

  #volume(name: string) {
    const found = this.#place.config.volumes.find((volume) => volume.name === name);
    if (found === undefined) throw new Error(`broken invariant: the demo has a volume ${name}`);
    return found;
  }

  #server(name: string) {
    const found = this.#place.config.servers.find((server) => server.name === name);
    if (found === undefined) throw new Error(`broken invariant: the demo has a server ${name}`);
    return found;
  }

  #until(what: string, isSo: () => Promise<boolean>, everyMs?: number): Promise<void> {
    const check = (): void => {
      for (const server of [this.servers.a, this.servers.b]) {
        if (!server.running) throw new Failure(ExitCode.failed, `the server ${server.name} ended: waited for ${what}`);
      }
    };
    return until(what, isSo, check, everyMs);
  }
}

/** The time of the first answer that came after the connection broke: those before it were already on their way. */
async function answerAfterBreak(first: Promise<number>, writer: FileWriter, brokeAtMs: () => number): Promise<number> {
  for (let answer = first; ; answer = writer.nextAnswer()) {
    const atMs = await answer;
    if (brokeAtMs() > 0 && atMs >= brokeAtMs()) return atMs;
  }
}
