# Steps with one line of progress each. A step is a function that calls `cached` when there was nothing to do.
export ROOT=$PWD TOOLS=$PWD/.clipyard CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/clipyard
mkdir -p "$TOOLS"/{bin,logs,stamps} "$CACHE/bin"
steps_total=$(grep -c '^step ' scripts/setup.sh)
step_number=0

die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Two set-ups of one checkout would undo each other; the second waits and then finds all done.
one_at_a_time() { exec 9>"$TOOLS/setup.lock"; flock 9; }

# step NAME COMMAND...: runs it with its output in a log file, and shows the end of the log when it fails.
step() {
  local name=$1 log started; shift
  step_number=$((step_number + 1))
  log="$TOOLS/logs/setup-$step_number.log" started=$SECONDS outcome=done
  # Elsewhere than in a terminal a line is written at once: others may write between.
  local line="[setup $step_number/$steps_total] $name ... "
  if [ -t 1 ]; then printf '%s' "$line"; line=; fi
  if run_step "$@" >"$log" 2>&1 9<&-; then
    printf '%s%s (%d s)\n' "$line" "$(cat "$TOOLS/step-outcome")" $((SECONDS - started))
  else
    printf '%sFAILED (%d s); the end of %s:\n' "$line" $((SECONDS - started)) "$log"
    tail -n 30 "$log" | sed 's/^/    /'
    printf 'Run scripts/setup.sh again to go on from here.\n'
    exit 1
  fi
}
# A subshell with its own `set -e`: inside an `if` bash ignores it otherwise.
run_step() { printf done >"$TOOLS/step-outcome"; bash -euo pipefail -c '
  . scripts/setup/lib.sh; . scripts/setup/system.sh; . scripts/setup/node.sh; . scripts/setup/go.sh; . scripts/setup/rust.sh; . scripts/setup/bundle.sh
  "$@"' step "$@"; }
outcome() { printf '%s' "$1" >"$TOOLS/step-outcome"; }

# require COMMAND MINIMUM WHERE: tools that no package registry of ours brings in this version.
require() {
  local have
  have=$(case $1 in go) go env GOVERSION ;; *) $1 --version ;; esac 2>/dev/null | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -1) ||
    die "$1 is missing; version $2 or later is needed, see $3"
  [ "$(printf '%s\n' "$2" "$have" | sort -V | head -1)" = "$2" ] || die "$1 is $have; $2 or later is needed, see $3"
}

# digest FILE...: one digest of names and contents.
digest() { sha256sum "$@" | sha256sum | cut -c1-16; }
stamped() { [ "$(cat "$TOOLS/stamps/$1" 2>/dev/null)" = "$2" ]; }
stamp() { printf '%s' "$2" >"$TOOLS/stamps/$1"; }
