#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The two commands of the README on a bare Debian 12: a fresh chroot with nothing but python3 and apt, the committed
# tree, no caches. Prints the wall time of each. Needs root and debootstrap; about ten minutes.
#
#   sudo tests/environment/bare_machine.sh [FOLDER]       FOLDER: where the chroot is made (default: a temporary one)
#
# The machine's name server, certificates and apt sources are handed in, so that it also works behind a proxy.
set -euo pipefail
workspace="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
root="${1:-$(mktemp -d)/bare}"
mirror="$(awk '/^URIs:/ {print $2; exit} /^deb / {print $2; exit}' /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2> /dev/null || true)"

clean_up() {
  umount -R "${root}/proc" "${root}/dev" 2> /dev/null || true
}
trap clean_up EXIT

echo "making a bare Debian 12 in ${root}"
if [[ ! -e "${root}/etc/debian_version" ]]; then
  debootstrap --variant=minbase --include=ca-certificates,python3 bookworm "${root}" ${mirror:+"${mirror}"} > "${root}.log" 2>&1 \
    || { tail -n 5 "${root}.log" >&2; exit 1; }
elif [[ -e "${root}/src" ]]; then
  echo "error: ${root} was used before and is not bare any more; give a new folder" >&2
  exit 1
fi
cp /etc/resolv.conf "${root}/etc/resolv.conf"
cp /etc/ssl/certs/ca-certificates.crt "${root}/etc/ssl/certs/ca-certificates.crt"
mkdir -p "${root}/dev" "${root}/proc"
mount -t proc proc "${root}/proc"
mount --rbind --make-rslave /dev "${root}/dev"

for name in bazel g++ cc git; do
  ! chroot "${root}" sh -c "command -v ${name}" > /dev/null || { echo "error: not bare, it has ${name}" >&2; exit 1; }
done
mkdir "${root}/src"
git -C "${workspace}" archive HEAD | tar -x -C "${root}/src"

inside() {
  chroot "${root}" env -i HOME=/home/newcomer PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt TERM=dumb sh -c "mkdir -p \$HOME && cd /src && $1"
}

timed() {
  local start=${SECONDS}
  echo "\$ $1"
  inside "$1"
  echo "took $((SECONDS - start)) s: $1"
}

timed "tools/bazel run //prompt_tuning:train"
timed "tools/bazel run //prompt_tuning:train"
timed "tools/bazel test //..."
