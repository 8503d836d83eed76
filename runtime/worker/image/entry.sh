#!/bin/sh
# First process of the image. A volume is mounted as root's: its folder is given to the user that works in it, and
# everything after that runs as that user, without a capability and without a way to get one.
set -eu
if [ "$(id -u)" = 0 ]; then
  user="${WORKER_USER:-node}"
  data="${DATA_DIR:-/data}"
  # Only where it is not that user's already: a read-only root without a volume refuses even this.
  if [ "$(stat -c %u "$data" 2>&1)" != "$(id -u "$user")" ] && ! { mkdir -p "$data" && chown "$user" "$data"; }; then
    echo "FATAL DATA_DIR $data cannot be given to $user: mount a folder there that may be written" >&2
    exit 78
  fi
  exec setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --no-new-privs \
    --inh-caps=-all --bounding-set=-all "$@"
fi
exec "$@"
