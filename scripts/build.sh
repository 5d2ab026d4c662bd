#!/usr/bin/env bash
# Configures and builds one preset (scripts/bootstrap.sh must have run).
#
#   scripts/build.sh [--preset NAME] [--configure-only] [TARGET...]
#
# Without targets, everything. What ninja says goes to build/NAME/build.log;
# on a terminal a progress line is shown, elsewhere a line every 30 seconds.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$here"
preset=release
configure_only=0
targets=()
while [ $# -gt 0 ]; do
  case "$1" in
    --preset) preset=${2:?--preset needs a name}; shift ;;
    --configure-only) configure_only=1 ;;
    -h|--help) sed -n '2,7p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 0 ;;
    -*) echo "build.sh: unknown option '$1'; see --help" >&2; exit 2 ;;
    *) targets+=("$1") ;;
  esac
  shift
done
say() { printf '\033[1m[build]\033[0m %s\n' "$*"; }

dir="build/$preset"
mkdir -p "$dir"
log="$dir/build.log"
if [ ! -f "$dir/build.ninja" ] || [ "$configure_only" = 1 ]; then
  say "configuring $dir"
  if ! cmake --preset "$preset" >"$dir/configure.log" 2>&1; then
    tail -n 20 "$dir/configure.log" >&2
    echo "build.sh: configuring failed; whole output in $dir/configure.log" >&2
    exit 1
  fi
fi
[ "$configure_only" = 1 ] && exit 0

# ccache need not preprocess every source first to see that it is new.
export CCACHE_DEPEND=1

# g++ takes up to 2 GB for a source that includes LibTorch.
jobs=$(nproc)
memory=$(awk '/MemAvailable/ {print int($2 / 2097152)}' /proc/meminfo)
[ "$memory" -ge 1 ] || memory=1
[ "$jobs" -le "$memory" ] || jobs=$memory

start=$(date +%s)
: >"$log"
ninja -C "$dir" -j "$jobs" "${targets[@]}" >"$log" 2>&1 &
ninja=$!
trap 'kill $ninja 2>/dev/null || true' INT TERM
last=0
while kill -0 $ninja 2>/dev/null; do
  sleep 1
  line=$(grep -o '^\[[0-9]*/[0-9]*\]' "$log" | tail -n 1 || true)
  now=$(( $(date +%s) - start ))
  if [ -t 1 ]; then
    printf '\r\033[K[build] %s %d s' "$line" "$now"
  elif [ $(( now - last )) -ge 30 ]; then
    last=$now; say "$line after $now s"
  fi
done
[ -t 1 ] && printf '\r\033[K'
if ! wait $ninja; then
  grep -E '(^FAILED|error:|Error)' "$log" | head -n 20 >&2 || true
  echo "build.sh: the build failed; whole output in $log" >&2
  exit 1
fi
say "built ${targets[*]:-everything} in $(( $(date +%s) - start )) s"
