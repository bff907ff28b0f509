/**
 * Doors whose addresses move: the port `Doors`, with each volume's service address brought to this machine before its
 * door opens and taken away once it is closed. Of one volume only one command runs at a time, and the last wish
 * wins; so an address that was to go and is to come again does not end up gone.
 */
import { isIP } from 'node:net';
import type { Done, Fault } from '../../base/fault.ts';
import type { Epoch, VolumeName } from '../../base/names.ts';
import type { End } from '../../drivers/linux/tickle.ts';
import type { VolumeService } from '../../ports/service.ts';
import type { Doors } from '../../ports/world.ts';
import type { VolumeConfig } from '../config/load.ts';
import type { Fields } from '../log.ts';
import type { AddressMover } from './hooks.ts';

/** Pace of saying on the network where an open door's address is: whoever missed it once learns it then, ms. */
const ANNOUNCE_MS = 5_000;

/**
 * When the last holder's clients are woken up, ms after the door opened. More than once: a packet may get lost, and a
 * client's switch may not have noticed yet where the address is.
 */
const TICKLE_MS = [0, 200, 1_000, 3_000] as const;

interface Move {
  readonly config: VolumeConfig;
  /** What is wished for, and who is told once that is so. */
  wish: 'up' | 'down';
  told: Done[];
  running: boolean;
  /** What is so, as far as is known. */
  state: 'up' | 'down' | 'unknown';
  announcing: NodeJS.Timeout | null;
  /** Counts the wishes: a door that was held or closed meanwhile is not opened. */
  turn: number;
  /** Who is connected to the address elsewhere, by the word of its owner in `epoch`. */
  elsewhere: { readonly epoch: Epoch; readonly clients: readonly End[] } | null;
}

export class MovingDoors implements Doors {
  readonly #doors: Doors;
  readonly #mover: AddressMover;
  readonly #log: (event: string, fields: Fields) => void;
  readonly #moves = new Map<VolumeName, Move>();

  constructor(
    doors: Doors,
    mover: AddressMover,
    volumes: readonly VolumeConfig[],
    log: (event: string, fields: Fields) => void,
  ) {
    this.#doors = doors;
    this.#mover = mover;
    this.#log = log;
    for (const config of volumes) this.moves(config);
  }

  /** The address of this volume moves, too. Once for each volume. */
  moves(config: VolumeConfig): void {
    if (this.#moves.has(config.name as VolumeName)) return;
    const fresh = {
      wish: 'down',
      told: [],
      running: false,
      state: 'down',
      announcing: null,
      turn: 0,
      elsewhere: null,
    } as const;
    this.#moves.set(config.name as VolumeName, { config, ...fresh, told: [] });
  }

  open(volume: VolumeName, epoch: Epoch, service: VolumeService, done: Done): void {
    const move = this.#moves.get(volume);
    if (move === undefined) return this.#doors.open(volume, epoch, service, done);
    this.#doors.close(volume, `volume ${volume} is opened anew in epoch ${epoch}`);
    const turn = this.#wish(move, 'up', (fault) => {
      if (move.turn !== turn) return;
      if (fault !== null) return done(fault);
      this.#announce(move);
      this.#doors.open(volume, epoch, service, (refused) => {
        if (refused === null) {
          this.#announce(move);
          this.#wake(move, epoch, turn);
        }
        done(refused);
      });
    });
  }

  /**
   * The address stays until the door is closed, which is when the next owner listens: only so can the connections be
   * reset towards clients that wait for an answer. The next owner is on another machine, and its announcement wins.
   */
  hold(volume: VolumeName, done: () => void): void {
    const move = this.#moves.get(volume);
    if (move !== undefined) this.#fallSilent(move);
    this.#doors.hold(volume, done);
  }

  close(volume: VolumeName, why: string): void {
    this.#doors.close(volume, why);
    const move = this.#moves.get(volume);
    if (move === undefined) return;
    this.#fallSilent(move);
    this.#wish(move, 'down', () => undefined);
  }

  clients(volume: VolumeName): readonly string[] {
    return this.#moves.has(volume) ? (this.#doors.clients?.(volume) ?? []) : [];
  }

  clientsElsewhere(volume: VolumeName, epoch: Epoch, clients: readonly string[]): void {
    const move = this.#moves.get(volume);
    if (move === undefined || (move.elsewhere !== null && epoch < move.elsewhere.epoch)) return;
    move.elsewhere = { epoch, clients: clients.flatMap(endOf) };
  }

  /** The clients of whoever had the address before learn that their connections are dead, if they do not know it. */
  #wake(move: Move, epoch: Epoch, turn: number): void {
    const { elsewhere, config } = move;
    move.elsewhere = null;
    if (elsewhere === null || elsewhere.epoch >= epoch || elsewhere.clients.length === 0) return;
    const { clients } = elsewhere;
    this.#log('clients.woken', { volume: config.name, clients: clients.length });
    let told = false;
    for (const afterMs of TICKLE_MS) {
      const wake = (): void => {
        // Only the holder of the address may answer what it provokes.
        if (move.turn !== turn) return;
        const fault = this.#mover.tickle(config, clients);
        if (fault !== null && !told) this.#log('address.failed', { volume: config.name, why: fault.message });
        told ||= fault !== null;
      };
      if (afterMs === 0) wake();
      else setTimeout(wake, afterMs).unref();
    }
  }

  #fallSilent(move: Move): void {
    if (move.announcing !== null) clearInterval(move.announcing);
    move.announcing = null;
  }

  #announce(move: Move): void {
    const fault = this.#mover.announce(move.config);
    if (fault !== null) this.#log('address.failed', { volume: move.config.name, why: fault.message });
    move.announcing ??= setInterval(() => this.#mover.announce(move.config), ANNOUNCE_MS).unref();
  }

  /** Whoever wished for something else before is not told any more, but for those that wait for an end. */
  #wish(move: Move, wish: 'up' | 'down', done: Done): number {
    move.turn += 1;
    if (wish !== move.wish && wish === 'up') for (const tell of move.told.splice(0)) setImmediate(tell, null);
    if (wish !== move.wish) move.told = [];
    move.wish = wish;
    move.told.push(done);
    if (!move.running) this.#run(move);
    return move.turn;
  }

  #run(move: Move): void {
    const { wish, config } = move;
    if (move.state === wish) return this.#settle(move, null);
    move.running = true;
    this.#mover[wish](config, (fault) => {
      move.running = false;
      move.state = fault === null ? wish : 'unknown';
      const { host } = config.address;
      if (fault === null) this.#log(`address.${wish}`, { volume: config.name, address: host });
      else this.#log('address.failed', { volume: config.name, address: host, why: fault.message });
      if (move.wish === wish) this.#settle(move, fault);
      else this.#run(move);
    });
  }

  #settle(move: Move, fault: Fault | null): void {
    for (const tell of move.told.splice(0)) setImmediate(tell, fault);
  }
}

/** `address port` taken apart; nothing for what is not that, or has a zone, which means nothing on this machine. */
function endOf(words: string): End[] {
  const [host = '', port = ''] = words.split(' ');
  const number = Number(port);
  return isIP(host) !== 0 && !host.includes('%') && Number.isInteger(number) && number > 0 && number < 65_536
    ? [{ host, port: number }]
    : [];
}
