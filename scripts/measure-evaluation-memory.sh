#!/usr/bin/env bash
# Peak resident memory of the worker that evaluates 5,000 and 50,000 images with
# all metrics (that both are alike is what "constant memory" means). The model
# is a teacher of a few thousand parameters, so that this takes minutes.
#
#   scripts/measure-evaluation-memory.sh [--bin DIR] [SAMPLES]...
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin="$here/build/release/bin"
if [ "${1:-}" = --bin ]; then bin=$(cd "${2:?--bin needs a folder}" && pwd); shift 2; fi
[ $# -gt 0 ] || set -- 5000 50000
dir=$(mktemp -d)
"$bin/retortd" --data_dir "$dir/data" --listen 127.0.0.1:0 --http_listen 127.0.0.1:0 >"$dir/log" 2>&1 &
server=$!
stop() { kill -TERM "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$dir"; }
trap stop EXIT
for _ in $(seq 100); do [ -f "$dir/data/retortd.json" ] && break; sleep 0.2; done
RETORT_SERVER=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["grpc"])' "$dir/data/retortd.json")
export RETORT_SERVER
retort() { "$bin/retort" "$@"; }

features="$here/scripts/recipes/fashion-mnist/feature-extractor"
retort models import "$features/weights.safetensors" --manifest "$features/manifest.json" --id features >/dev/null
cat >"$dir/teacher.yaml" <<Y
spec: {train_teacher: {network: {model_channels: 4, channel_mult: [1, 1, 1]}, training: {iterations: 2, batch_size: 4}}}
Y
retort jobs submit -f "$dir/teacher.yaml" --id tiny --watch >/dev/null
# One step of Heun's sampler: what the images look like does not matter here.
for n in "$@"; do
  cat >"$dir/e.yaml" <<Y
spec:
  evaluate: {model: tiny, feature_extractor: features, samples: $n, kept_features: 5000, steps: [1], metrics: [frechet, kid, inception-score, precision-recall]}
Y
  begin=$(date +%s)
  retort jobs submit -f "$dir/e.yaml" --id "e$n" >/dev/null
  peak=0
  while :; do
    worker=$(pgrep -P "$server" -x retort-worker | tail -1 || true)
    now=$( { awk '/VmHWM/ {print $2}' "/proc/$worker/status" || true; } 2>/dev/null)
    [ "${now:-0}" -gt "$peak" ] && peak=$now
    retort --json jobs get "e$n" | grep -qE 'STATE_(QUEUED|STARTING|RUNNING)' || break
    sleep 0.2
  done
  echo "$n images: peak $((peak / 1024)) MiB, $(($(date +%s) - begin)) s"
  retort jobs get "e$n" | grep -E '^(state|result)'
done
