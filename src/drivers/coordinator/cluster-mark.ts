/**
 * Which cluster a medium or a coordinator's directory belongs to: a small file that its first server leaves there. Two
 * clusters would take each other's servers and records of the same names for their own, and both serve.
 */
import { z } from 'zod';
import { Fault } from '../../base/fault.ts';
import { createFile } from '../linux/durable.ts';
import { errorCode, faultOfError } from '../linux/errno.ts';
import { readBounded } from '../linux/small-files.ts';

/** The mark's name within a directory; a medium that is a file has it behind its own name. */
export const CLUSTER_MARK = 'holdfast-cluster.json';
/** A cluster's id is far shorter. */
const MARK_BYTES_MAX = 4096;

const mark = z.strictObject({ format: z.literal('holdfast-cluster-1'), cluster: z.string().min(1) });

/**
 * The mark at `path` is of this cluster; where there is none it is made. Faults: `refused` when it is another's,
 * `corrupt`, and those of the file system.
 */
export async function markCluster(path: string, cluster: string): Promise<void> {
  const content = `${JSON.stringify({ format: 'holdfast-cluster-1', cluster }, null, 2)}\n`;
  const found = (await readMark(path)) ?? (await make(path, content)) ?? (await readMark(path));
  if (found === null || found === cluster) return;
  const whose = `${path} says that this belongs to the cluster "${found}", and the configuration is of "${cluster}"`;
  throw new Fault(
    'refused',
    `${whose}: two clusters on one medium would both serve. Remove the file if "${found}" is gone.`,
  );
}

async function readMark(path: string): Promise<string | null> {
  let text: string;
  try {
    text = await readBounded(path, MARK_BYTES_MAX, `cluster mark ${path}`);
  } catch (error) {
    if (error instanceof Fault && error.kind === 'missing') return null;
    throw error;
  }
  const checked = mark.safeParse(parsed(text));
  if (!checked.success) throw new Fault('corrupt', `The cluster mark ${path} is damaged: remove it if it is yours.`);
  return checked.data.cluster;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Always null: what is there then is read. */
async function make(path: string, content: string): Promise<null> {
  try {
    await createFile(path, content);
  } catch (error) {
    // Another server of the cluster, or of the other one, was first.
    if (errorCode(error) !== 'EEXIST') throw faultOfError(error, `Making the cluster mark ${path}`);
  }
  return null;
}
