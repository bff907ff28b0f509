#!/bin/sh
# Fences a server from a SCSI disk by persistent reservations (docs/fencing.md):
#
#     fence-scsi.sh KEY DEVICE      takes the registration KEY away, and with it the right to write to DEVICE
#
# The machine's own key is in /etc/holdfast/scsi-key. Success means: KEY is not registered, and only who is registered
# may write. It may be run again at any time. Needs sg_persist (sg3-utils) and root.
# SCSI_PREEMPT=preempt for targets that cannot abort: what the victim's commands do that the target has begun is not known then.
set -eu
[ $# = 2 ] || { echo "usage: $0 KEY DEVICE" >&2; exit 2; }
victim=$1
device=$2
own=$(cat /etc/holdfast/scsi-key)

registered() {
  sg_persist --in --read-keys "$device" > "$scratch" && grep -qix " *$victim" "$scratch"
}
held() {
  sg_persist --in --read-reservation "$device" > "$scratch" && grep -qi 'type: Write Exclusive, registrants only' "$scratch"
}

scratch=$(mktemp)
trap 'rm -f "$scratch"' EXIT
sg_persist --in --read-keys "$device" > "$scratch"
grep -qix " *$own" "$scratch" || { echo "the own key $own is not registered at $device" >&2; exit 1; }
held || { echo "nobody holds the reservation of $device: everybody may write to it" >&2; exit 1; }
if registered; then
  sg_persist --out "--${SCSI_PREEMPT:-preempt-abort}" --param-rk="$own" --param-sark="$victim" --prout-type=5 "$device" >&2
fi
# Looked at anew: only what the device says counts.
sg_persist --in --read-keys "$device" > "$scratch"
if grep -qix " *$victim" "$scratch"; then echo "$victim is still registered at $device" >&2; exit 1; fi
held || { echo "nobody holds the reservation of $device" >&2; exit 1; }
