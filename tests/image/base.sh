#!/usr/bin/env bash
# A stand-in for the worker image's base, where its registry is out of reach: Debian by debootstrap, Node from the npm
# package that the repository pins, npm, and the user `node`. It is like the official image in what the Dockerfile
# relies on, and takes over this machine's settings of apt and npm. Called as root:
#   tests/image/base.sh <tag> <engine…>
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

tag=$1
shift
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
# What Node 24.21 brings.
npm_version=11.19.0

command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
[[ $(id -u) == 0 ]] || { echo "debootstrap needs root" >&2; exit 1; }

root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
chmod 755 "$root"
debootstrap --variant=minbase bookworm "$root" "$mirror" >&2

{
  for suite in bookworm bookworm-updates; do echo "deb $mirror $suite main"; done
  echo "deb ${mirror%/debian}/debian-security bookworm-security main"
} >"$root/etc/apt/sources.list"
apt-config dump | grep -E '^Acquire::(Check-|Retries|https?)' >"$root/etc/apt/apt.conf.d/90machine" || true
# As in Debian's images for containers: nothing that apt could fetch again, nothing that nobody reads.
cat >"$root/etc/apt/apt.conf.d/91container" <<'CONF'
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
CONF
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info}/*

install -m 755 node_modules/node/bin/node "$root/usr/local/bin/node"
npm install --silent --prefix "$root/usr/local" --global "npm@$npm_version" >&2
authorities=$(npm config get cafile)
if [[ -f $authorities ]]; then
  mkdir -p "$root/etc/ssl/certs" "$root/usr/local/etc"
  cp "$authorities" "$root/etc/ssl/certs/machine.crt"
  echo "cafile=/etc/ssl/certs/machine.crt" >"$root/usr/local/etc/npmrc"
fi
chroot "$root" groupadd --gid 1000 node
chroot "$root" useradd --uid 1000 --gid node --shell /bin/bash --create-home node

tar -C "$root" -c . | "$@" import \
  --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change "ENV NODE_VERSION=$(node_modules/node/bin/node -p process.versions.node)" --change 'ENTRYPOINT ["docker-entrypoint.sh"]' --change 'CMD ["node"]' \
  - "$tag" >&2
