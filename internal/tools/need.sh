#!/usr/bin/env bash
# Installs what the tests need and Go does not bring: a browser, a C compiler
# (for the race detector); and PostgreSQL, which "make bench-query POSTGRES=1"
# compares with. As root with apt it installs; else it tells how.
set -euo pipefail

have_browser() {
  [[ -n "${CHROME:-}" ]] && { command -v "$CHROME" >/dev/null || fail "CHROME=$CHROME cannot be run"; return 0; }
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable headless-shell chrome; do
    command -v "$name" >/dev/null && return 0
  done
  return 1
}

have_compiler() {
  command -v "${CC:-gcc}" >/dev/null || command -v cc >/dev/null || command -v clang >/dev/null
}

have_postgres() {
  [[ -x "${POSTGRES_BIN:-/usr/lib/postgresql/15/bin}/initdb" || -x /usr/pgsql-15/bin/initdb ]]
}

fail() {
  echo "$*" >&2
  exit 1
}

# install PACKAGE WHAT
install() {
  if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
    fail "$2 is missing. Install it (Debian, Ubuntu: sudo apt-get install $1)$3, then try again."
  fi
  echo "installing $2 ($1)"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y --no-install-recommends $1 >/dev/null 2>&1 ||
    { apt-get update -q >/dev/null && apt-get install -y --no-install-recommends $1 >/dev/null; } ||
    fail "$2 could not be installed: run 'apt-get install $1' to see why"
}

case "${1:-}" in
  browser)
    have_browser || install chromium "a browser (Chromium or Chrome)" ", or name one in CHROME=/path/to/chrome"
    ;;
  compiler)
    have_compiler || install "gcc libc6-dev" "a C compiler (the race detector needs one)" ""
    ;;
  postgres)
    have_postgres || install postgresql-15 "PostgreSQL 15" ", or name the folder of its programs in POSTGRES_BIN=DIR"
    ;;
  *)
    fail "usage: $0 browser|compiler|postgres"
    ;;
esac
