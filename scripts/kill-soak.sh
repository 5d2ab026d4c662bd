#!/usr/bin/env bash
# kill -9 of server and workers at many random points; counts go to
# docs/experiments/kill-soak.json (docs/reliability.md).
#
#   scripts/kill-soak.sh [KILLS [SEED]]     default: 200 kill points, seed 1
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case "${1:-}" in -h|--help) sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;; esac
scripts/build.sh integration_kill_soak_test
RETORT_SOAK_KILLS=${1:-200} RETORT_SOAK_SEED=${2:-1} \
  RETORT_SOAK_REPORT=docs/experiments/kill-soak.json OMP_NUM_THREADS=1 \
  build/release/tests/integration_kill_soak_test
