import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { copyFile, link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { realStep as step } from '../../../suites/real-step.ts';
import { Fault } from '../../base/fault.ts';
import { BRIEF, isFresh, mountOptionsOf, type OnTrial, probeDirectory, THOROUGH } from './probe.ts';

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-probe-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

test('the probe removes what it made, and what a killed probe of the same server left', async (t) => {
  const directory = scratch(t);
  mkdirSync(join(directory, '.probe-a-0123456789abcdef'));
  mkdirSync(join(directory, '.probe-b-0123456789abcdef'));
  await probeDirectory(directory, 'a', 'host');
  await probeDirectory(directory, 'a', 'machines');
  await probeDirectory(directory, 'a', 'host', BRIEF);
  assert.deepEqual(readdirSync(directory), ['.probe-b-0123456789abcdef']);
});

test('a file system that breaks a promise is refused, and the finding says which one', async (t) => {
  const directory = scratch(t);
  const real: OnTrial = { link, rename };
  const inTwoSteps: OnTrial['rename'] = async (from, to) => {
    await rm(to);
    for (let i = 0; i < 20; i++) await step();
    await rename(from, to);
  };
  const inPlace: OnTrial['rename'] = async (from, to) => {
    const content = await readFile(from, 'utf8');
    await writeFile(to, content.slice(0, 100));
    for (let i = 0; i < 20; i++) await step();
    await writeFile(to, content);
  };
  const denied = Object.assign(new Error('no'), { code: 'EPERM' });
  const findings: readonly (readonly [OnTrial, RegExp])[] = [
    [{ ...real, link: (from, to) => copyFile(from, to) }, /does not exclude in .*: (8 of 8|2 of 2) succeeded/],
    [{ ...real, link: async () => {} }, /does not exclude/],
    [{ ...real, link: () => Promise.reject(denied) }, /EPERM/],
    [{ ...real, rename: inTwoSteps }, /gone for a moment/],
    [{ ...real, rename: inPlace }, /not whole for a moment/],
  ];
  for (const effort of [THOROUGH, BRIEF]) {
    for (const [trial, finding] of findings) {
      await assert.rejects(
        () => probeDirectory(directory, 'a', 'host', effort, trial),
        (error) => error instanceof Fault && error.kind === 'refused' && finding.test(error.message),
        String(finding),
      );
    }
    await probeDirectory(directory, 'a', 'host', effort, real);
  }
});

test('NFS mounts that cache what they saw are told from those that do not', () => {
  const mountinfo = [
    '22 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
    '90 22 0:50 / /mnt/shared rw shared:9 - nfs4 srv:/x rw,vers=4.2,acregmin=3,acdirmax=60,hard',
    '91 22 0:51 / /mnt/two\\040words rw - nfs4 srv:/y rw,vers=4.2,noac,lookupcache=none',
    '92 90 0:52 / /mnt/shared/over rw - nfs4 srv:/z rw,acregmin=0,acregmax=0,acdirmin=0,acdirmax=0,lookupcache=none',
  ].join('\n');
  const fresh = (path: string): boolean => isFresh(mountOptionsOf(mountinfo, path) ?? []);
  assert.equal(fresh('/mnt/shared/servers'), false);
  assert.equal(fresh('/mnt/two words'), true);
  assert.equal(fresh('/mnt/shared/over/servers'), true);
  assert.deepEqual(mountOptionsOf(mountinfo, '/mnt/sharedx'), ['rw'], 'a name that only begins alike is another');
});
