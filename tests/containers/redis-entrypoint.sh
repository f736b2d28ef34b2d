#!/bin/sh
# As the official image's: not as root, and open to the other containers.
set -eu
chown redis:redis .
exec setpriv --reuid=redis --regid=redis --init-groups "$@" --protected-mode no
