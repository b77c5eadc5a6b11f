#!/usr/bin/env bash
# Makes sure that the named Debian packages are there: installs them when it may, else prints the one command that will.
set -euo pipefail

if ! command -v dpkg-query >/dev/null; then
  echo "note: not a Debian system; install what these packages hold: $*" >&2
  exit 0
fi

missing=()
for package in "$@"; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "Debian packages are missing. Install them with:" >&2
  echo "    sudo apt-get update && sudo apt-get install -y ${missing[*]}" >&2
  exit 1
fi
