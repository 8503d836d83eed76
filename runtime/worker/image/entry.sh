#!/bin/sh
# First process of the image. A volume is mounted as root's: its folder is given to the user that works in it, and
# everything after that runs as that user, without a capability and without a way to get one.
set -eu
if [ "$(id -u)" = 0 ]; then
  user="${WORKER_USER:-node}"
  chown "$user" "${DATA_DIR:-/data}"
  exec setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --no-new-privs \
    --inh-caps=-all --bounding-set=-all "$@"
fi
exec "$@"
