#!/usr/bin/env bash
# Merges what the fuzzers found into test/fuzz-corpus: inputs of up to 4 KiB that reach code no seed reaches, the 40 smallest
# of a target, so that the corpus stays small enough to be committed and to be read at the start of each run.
set -euo pipefail
host=$(rustc -vV | sed -n 's/^host: //p')
program="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/clipyard/cargo-target}/fuzz/$host/release/parsers"
for target in test/fuzz-corpus/*; do
  name=${target##*/}
  FUZZ_TARGET=$name "$program" -set_cover_merge=1 -use_counters=0 -max_len=4096 "$target" ".clipyard/fuzz/corpus/$name" 2>&1 |
    sed -n "s/^MERGE-OUTER: \(.* new files.*\)/$name: \1/p"
  find "$target" -type f ! -name 'seed-*' -printf '%s %p\n' | sort -n | tail -n +41 | cut -d' ' -f2 | xargs -r rm
done
find test/fuzz-corpus -type f | wc -l
