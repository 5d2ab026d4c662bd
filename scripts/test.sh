#!/usr/bin/env bash
# Sets everything up, builds it and runs all tests (unit, integration, lint).
#
#   scripts/test.sh [--preset release|debug|asan|tsan] [--no-apt] [CTEST ARGS...]
#
# Idempotent; the last line is ctest's own summary.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$here"
preset=release
bootstrap=()
ctest_args=()
while [ $# -gt 0 ]; do
  case "$1" in
    --preset) preset=${2:?--preset needs a name}; shift ;;
    --no-apt) bootstrap+=(--no-apt) ;;
    -h|--help) sed -n '2,6p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) ctest_args+=("$1") ;;
  esac
  shift
done
say() { printf '\033[1m[test]\033[0m %s\n' "$*"; }

say "1/4 set-up"
scripts/bootstrap.sh --lint --tests "${bootstrap[@]}"
say "2/4 configure (preset $preset)"
scripts/build.sh --preset "$preset" --configure-only
say "3/4 build"
scripts/build.sh --preset "$preset"
say "4/4 tests"
cd "build/$preset"
# Tests of one machine share its cores: one a core, each with one thread.
exec ctest --output-on-failure -j "$(nproc)" "${ctest_args[@]}"
