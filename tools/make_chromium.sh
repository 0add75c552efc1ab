#!/bin/sh
# Chromium and its driver for the tests of the page, from Debian's packages where this is a Debian and we are root.
# Exit status: 0 they are there, 3 they cannot be had here (the tests then skip, saying so).
set -u
there() { command -v chromedriver >/dev/null && { command -v chromium || command -v google-chrome; } >/dev/null; }
there && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "no Chromium, and no Debian or no root to install it" >&2
  exit 3
fi
log=$(mktemp)
if apt-get update >"$log" 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium chromium-driver >>"$log" 2>&1 && there; then
  rm -f "$log"
  exit 0
fi
echo "Chromium could not be installed: $(tail -n 1 "$log")" >&2
rm -f "$log"
exit 3
