/** Debian's port mapper, showmount and libnfs, without a port named anywhere: in namespaces of their own, as root. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { needs } from '../programs.ts';

const run = promisify(execFile);
const FIXTURE = fileURLToPath(new URL(import.meta.url.replace(/portmapper\.test/, 'portmapped.fixture')));

/** Everything dies with the namespace's shell; the server is asked to leave by the end of its input. */
const SCRIPT = `
mount -t tmpfs none /run && ip link set lo up || exit 2
rpcbind -f & mapper=$!
until rpcinfo -p 127.0.0.1 >/dev/null 2>&1; do sleep 0.05; done
mkfifo /run/in /run/out
"$@" </run/in >/run/out & server=$!
exec 3>/run/in 4</run/out
read said <&4; echo "said $said"
rpcinfo -p 127.0.0.1
showmount -e 127.0.0.1
nfs-ls nfs://127.0.0.1/home >/dev/null && echo listed
showmount -a 127.0.0.1
exec 3>&-
read said <&4; echo "said $said"
wait $server
echo afterwards; rpcinfo -p 127.0.0.1
kill $mapper
`;

test(
  'a volume is found through the port mapper, by showmount and by libnfs',
  { skip: needs(['rpcbind', 'rpcinfo', 'showmount', 'unshare', 'ip', 'nfs-ls'], { root: true }), timeout: 120_000 },
  async () => {
    const server = [process.execPath, ...process.execArgv.filter((each) => !each.startsWith('--test')), FIXTURE];
    const { stdout } = await run('unshare', ['-n', '-m', '--kill-child', 'sh', '-c', SCRIPT, 'sh', ...server]);
    const [during = '', afterwards = ''] = stdout.split('afterwards\n');
    assert.match(during, /^said registered$/m);
    assert.match(during, /100003 +3 +tcp +20490/);
    assert.match(during, /100005 +3 +tcp +20490/);
    assert.match(during, /^\/home \(everyone\)$/m);
    assert.match(during, /^listed$/m);
    assert.match(during, /^127\.0\.0\.1:\/home$/m);
    assert.match(during, /^said unregistered$/m);
    assert.doesNotMatch(afterwards, /100003|100005/);
    assert.match(afterwards, /100000/);
  },
);
