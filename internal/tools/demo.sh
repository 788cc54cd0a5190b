#!/usr/bin/env bash
# make demo: fills the system that runs on a data directory with 30 days of
# made-up log-ins and goes on live; starts a system when none runs.
#
#   demo.sh DATA_DIR [flags of "loginaudit emit"]
set -euo pipefail

dir=$1
shift
bin=bin/loginaudit
serve=

# answers is true when the addresses are there and somebody listens on them: a
# system that was killed leaves its addresses behind.
answers() {
  local nats
  [[ -f $dir/addresses.json ]] || return 1
  nats=$(sed -n 's/.*"nats": *"\([^"]*\)".*/\1/p' "$dir/addresses.json")
  [[ -n $nats ]] && (exec 3<>"/dev/tcp/${nats%:*}/${nats##*:}") 2>/dev/null
}

stop() {
  if [[ -n $serve ]]; then
    kill -TERM "$serve" 2>/dev/null || true
    wait "$serve" || true
  fi
}

if ! answers; then
  echo "nothing runs on $dir: starting it"
  trap stop EXIT
  "$bin" serve --data-dir "$dir" &
  serve=$!
  until answers; do
    kill -0 "$serve" 2>/dev/null || { serve=; echo "it did not start" >&2; exit 1; }
    sleep 0.2
  done
fi

"$bin" emit --data-dir "$dir" --history 30d "$@"
