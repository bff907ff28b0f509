/**
 * A world's story as a picture: one column for the coordinator, each server and the medium; time runs downwards. A server's
 * column is green while clients can enter, grey while it is frozen, red while it is down.
 */
import type { StoryLine } from './context.ts';
import type { Report } from './run.ts';
import { Tracks, type TrackState } from './tracks.ts';

const COLUMN = 150;
const LEFT = 90;
const ROW = 15;
const TEXT_WIDTH = 820;
const TEXT_LENGTH = 130;
/** Rows of one picture; of a longer story the end is drawn. */
const ROWS = 600;

const COLOURS: Record<StoryLine['kind'], string> = {
  fault: '#c0392b',
  note: '#2c3e50',
  link: '#7f8c8d',
  coordinator: '#b9770e',
  medium: '#2471a3',
  store: '#2471a3',
  door: '#1e8449',
  client: '#566573',
  life: '#7d3c98',
  broken: '#ff0000',
};

/** Colours of the bands behind a server's column. */
const BANDS: Record<TrackState, string> = { down: '#e6b0aa', frozen: '#bfc9ca', up: '#ffffff', serving: '#a9dfbf' };

export function svg(report: Report): string {
  const story = (report.story ?? []).slice(-ROWS);
  const servers = report.plan.servers;
  const columns = ['coordinator', ...Array.from({ length: servers }, (_, i) => 'abcde'.charAt(i)), 'medium'];
  const x = (column: number): number => LEFT + COLUMN * column + COLUMN / 2;
  const columnOf = (line: StoryLine): number => line.server + 1;
  const targetOf = (line: StoryLine): number | null => {
    if (line.to === null) return null;
    if (line.to === 'coordinator') return 0;
    return line.to === 'medium' ? servers + 1 : line.to + 1;
  };
  const textX = LEFT + COLUMN * columns.length + 20;
  const height = 60 + ROW * story.length + 20;
  const out: string[] = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${textX + TEXT_WIDTH}" height="${height}" font-family="monospace" font-size="10">`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="3" orient="auto"><path d="M0,0 L7,3 L0,6 z" fill="#555"/></marker></defs>',
    `<text x="10" y="16" font-size="13">seed ${report.plan.seed}: ${escape(report.failure === null ? 'nothing broken' : report.failure.rule)}</text>`,
  ];
  columns.forEach((name, i) => {
    out.push(`<text x="${x(i)}" y="40" text-anchor="middle" font-size="12" font-weight="bold">${name}</text>`);
    out.push(`<line x1="${x(i)}" y1="46" x2="${x(i)}" y2="${height - 10}" stroke="#d5d8dc"/>`);
  });
  const bands = bandsOf(report, story.length);
  for (const { server, state, from, to } of bands) {
    const [y, end] = [60 + ROW * from, 60 + ROW * to];
    out.push(
      `<rect x="${x(server + 1) - 6}" y="${y}" width="12" height="${end - y}" fill="${BANDS[state]}" opacity="0.6"/>`,
    );
  }
  story.forEach((line, row) => {
    const y = 60 + ROW * row;
    const colour = COLOURS[line.kind];
    out.push(`<text x="8" y="${y + 3}" fill="#888">${line.atMs.toFixed(2)}</text>`);
    out.push(`<text x="${textX}" y="${y + 3}" fill="${colour}">${escape(line.text.slice(0, TEXT_LENGTH))}</text>`);
    const to = targetOf(line);
    if (line.server < 0) {
      if (line.kind === 'fault' || line.kind === 'broken') {
        out.push(
          `<line x1="${LEFT}" y1="${y}" x2="${textX - 10}" y2="${y}" stroke="${colour}" stroke-dasharray="4 3"/>`,
        );
      }
    } else if (to === null) out.push(`<circle cx="${x(columnOf(line))}" cy="${y}" r="3" fill="${colour}"/>`);
    else
      out.push(
        `<line x1="${x(columnOf(line))}" y1="${y}" x2="${x(to)}" y2="${y}" stroke="${colour}" marker-end="url(#tip)"/>`,
      );
  });
  out.push('</svg>');
  return out.join('\n');
}

interface Band {
  readonly server: number;
  readonly state: TrackState;
  readonly from: number;
  readonly to: number;
}

/** How each server was, from row to row of the rows that are drawn; a server that just runs has no band. */
function bandsOf(report: Report, rows: number): Band[] {
  const story = report.story ?? [];
  const tracks = new Tracks(report.plan.servers);
  const first = story.length - rows;
  const bands: Band[] = [];
  const open = tracks.states.map((state) => ({ state, from: 0 }));
  const close = (server: number, row: number): void => {
    const band = open[server];
    if (band !== undefined && band.state !== 'up' && row > band.from) bands.push({ server, ...band, to: row });
  };
  story.forEach((line, i) => {
    tracks.feed(line);
    const row = Math.max(0, i - first);
    tracks.states.forEach((state, server) => {
      if (open[server]?.state === state) return;
      close(server, row);
      open[server] = { state, from: row };
    });
  });
  open.forEach((_, server) => close(server, rows));
  return bands;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
