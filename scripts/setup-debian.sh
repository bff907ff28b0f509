#!/usr/bin/env bash
# Installs the Debian packages that the end-to-end tests and the recipes in docs/ use. The server itself needs none of
# them. Which test needs which program: e2e/programs.ts.
set -euo pipefail

packages=(libnbd-bin qemu-utils qemu-system-common fio fuse3 nbdkit nbd-client e2fsprogs iproute2
  qemu-system-x86 busybox-static libnfs-utils gcc libc6-dev git sqlite3 sg3-utils rpcbind nfs-common
  libisal2)
programs=(nbdinfo nbdcopy nbdfuse qemu-img qemu-io qemu-storage-daemon fio fusermount3 nbdkit nbd-client mkfs.ext4 e2fsck ip
  qemu-system-x86_64 busybox nfs-ls nfs-cp nfs-cat gcc git sqlite3 sg_persist
  rpcbind rpcinfo showmount)
# A kernel for the guest, unpacked only: this machine goes on booting its own.
kernel=/var/cache/holdfast-e2e/kernel
export DEBIAN_FRONTEND=noninteractive
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

missing_programs() {
  local program
  for program in "${programs[@]}"; do
    command -v "$program" >/dev/null || printf '%s ' "$program"
  done
}

has_kernel() { compgen -G "$kernel/boot/vmlinuz-*" >/dev/null || compgen -G '/boot/vmlinuz-*' >/dev/null; }

if [[ -z "$(missing_programs)" ]] && has_kernel; then
  echo 'Every program that the tests use is there already.'
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "This is not a Debian-like system. Please install these by its own means: $(missing_programs)" >&2
  exit 1
fi

as_root=()
if [[ $EUID -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo 'Installing packages needs root: run this as root, or install sudo.' >&2
    exit 1
  fi
  as_root=(sudo)
fi

"${as_root[@]}" apt-get update -q
# nbdfuse is a package of its own in newer releases and a part of libnbd-bin in Debian 12.
if apt-cache show nbdfuse >/dev/null 2>&1; then packages+=(nbdfuse); fi
had_rpcbind=$(command -v rpcbind || true)
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
# The tests run a port mapper in a namespace of their own: this machine's network gets none by it.
if [[ -z $had_rpcbind ]] && command -v systemctl >/dev/null; then
  "${as_root[@]}" systemctl disable --now rpcbind.socket rpcbind.service 2>/dev/null || true
fi

# Debian's kernel for this architecture; other systems may have none of that name, and the guest's tests are left out there.
unpack_kernel() {
  local package scratch
  package=$(apt-cache depends --important linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  [[ -n $package ]] || return 1
  scratch=$(mktemp -d)
  chmod 755 "$scratch"
  (cd "$scratch" && "${as_root[@]}" apt-get download -q "$package") || { rm -rf "$scratch"; return 1; }
  "${as_root[@]}" mkdir -p "$kernel"
  "${as_root[@]}" dpkg -x "$scratch"/linux-image-*.deb "$kernel"
  "${as_root[@]}" rm -rf "$scratch"
}
has_kernel || unpack_kernel || echo 'There is no linux-image-amd64 here: the tests that need a guest are not run.' >&2

if [[ -n "$(missing_programs)" ]]; then
  echo "Installed, and yet these programs are not there: $(missing_programs)" >&2
  exit 1
fi
echo 'Every program that the tests use is there now.'
