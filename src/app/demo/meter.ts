/** The moving bars of the demo: how much of the file is acknowledged, in both servers, and on the medium. */
import type { VolumeStatus } from '../../core/status.ts';
import { formatBytes } from '../config/units.ts';
import type { FileWriter } from './ledger.ts';
import { bar, columns } from './screen.ts';
import type { Live, Screen } from './screen.ts';

/** How often the owner is asked. */
const LOOK_MS = 100;
/** What stands beside a bar takes so many columns. */
const BESIDE_COLUMNS = 56;

export interface Meter {
  readonly look: () => Live;
  stop(): void;
}

/** Three bars: each look is one status of the owner, so that they belong together. */
export function ownerMeter(screen: Screen, writer: FileWriter, ask: () => Promise<VolumeStatus | null>): Meter {
  let status: VolumeStatus | null = null;
  const poll = (): void => {
    ask().then(
      (seen) => (status = seen),
      () => undefined,
    );
  };
  poll();
  const timer = setInterval(poll, LOOK_MS);
  const look = (): Live => {
    const counts = status?.counts ?? { acknowledged: 0, mirrored: 0, destagedOperations: 0 };
    const waiting = status === null ? '' : `, ${formatBytes(status.undestagedBytes)} to go`;
    const line = (name: string, count: number, text = ''): string => barLine(screen, writer, name, count, text);
    return {
      lines: [
        line('acknowledged', counts.acknowledged, ` of ${writer.pieces}`),
        line('in both servers', counts.mirrored),
        line('on the medium', counts.destagedOperations, waiting),
      ],
      plain:
        `acknowledged ${counts.acknowledged} of ${writer.pieces} writes, in both servers ${counts.mirrored}, ` +
        `on the medium ${counts.destagedOperations}`,
    };
  };
  return { look, stop: () => clearInterval(timer) };
}

/** One bar: what the client counts. */
export function clientMeter(screen: Screen, writer: FileWriter): Live {
  return {
    lines: [barLine(screen, writer, 'acknowledged', writer.count, ` of ${writer.pieces}`)],
    plain: `acknowledged ${writer.count} of ${writer.pieces} writes`,
  };
}

function barLine(screen: Screen, writer: FileWriter, name: string, count: number, text: string): string {
  const drawn = bar(count / writer.pieces, columns(process.stdout) - BESIDE_COLUMNS);
  return `            ${name.padEnd(15)} ${screen.paint('accent', drawn)} ${`${count}`.padStart(6)} writes${text}`;
}
