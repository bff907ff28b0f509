/** How each server is at every line of a story, for whoever draws it: down, frozen, up, or with a door that clients can enter. */
import type { StoryLine } from './context.ts';

export type TrackState = 'down' | 'frozen' | 'up' | 'serving';

/** Feed it the lines in their order; `states` is by server. */
export class Tracks {
  readonly states: TrackState[];
  readonly #frozen: boolean[];
  readonly #up: boolean[];
  /** Volumes with an open door. */
  readonly #doors: Set<string>[];

  constructor(servers: number) {
    this.states = Array.from({ length: servers }, () => 'down');
    this.#frozen = this.states.map(() => false);
    this.#up = this.states.map(() => false);
    this.#doors = this.states.map(() => new Set());
  }

  feed(line: StoryLine): void {
    const { server, kind, text } = line;
    const doors = this.#doors[server];
    if (doors === undefined || (kind !== 'life' && kind !== 'door')) return;
    if (kind === 'door') {
      const [volume = '', what = ''] = text.split(': ');
      if (what.startsWith('listens')) doors.add(volume);
      else doors.delete(volume);
    } else if (/ starts\b/.test(text)) this.#up[server] = true;
    else if (text.endsWith(' freezes')) this.#frozen[server] = true;
    else if (text.endsWith(' goes on')) this.#frozen[server] = false;
    else if (/ ends\b/.test(text)) {
      this.#up[server] = this.#frozen[server] = false;
      doors.clear();
    }
    const lives = this.#frozen[server] === true ? 'frozen' : doors.size > 0 ? 'serving' : 'up';
    this.states[server] = this.#up[server] === true ? lives : 'down';
  }
}
