#!/usr/bin/env bash
# Runs the demo once per preconditioning, everything else equal, and writes
# what came of it to OUT/comparison.json and, as a table, to standard output.
#
#   scripts/compare-preconditionings.sh [--out DIR] [--bin DIR] [NAME...]
#
# Teacher, tables and data are shared; students are kept, so an interrupted
# comparison goes on where it was. Made docs/experiments/demo.md.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out="$here/demo-out"
names=()
demo=()
while [ $# -gt 0 ]; do
  case "$1" in
    --out) out=${2:?--out needs a folder}; shift ;;
    --bin) demo+=(--bin "${2:?--bin needs a folder}"); shift ;;
    -h|--help) sed -n '2,8p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 0 ;;
    -*) echo "unknown option '$1'; see --help" >&2; exit 2 ;;
    *) names+=("$1") ;;
  esac
  shift
done
# bcm is ctm in this form (docs/science.md): nothing to compare.
[ ${#names[@]} -gt 0 ] || names=(ctm analytic analytic-forward fitted-state fitted-denoiser fitted-spectral)

for name in "${names[@]}"; do
  "$here/scripts/demo.sh" "${demo[@]}" --out "$out" --preconditioning "$name"
  cp "$out/summary.json" "$out/summary-$name.json"
  cp "$out/samples-2step.png" "$out/samples-2step-$name.png"
done
python3 - "$out" "${names[@]}" <<'PY'
import json, sys
out, names = sys.argv[1], sys.argv[2:]
rows = [json.load(open(f"{out}/summary-{n}.json")) for n in names]
json.dump(rows, open(f"{out}/comparison.json", "w"), indent=1)
print("| preconditioning | FD, 1 step | FD, 2 steps | distill s |\n|---|---|---|---|")
for r in rows:
    print(f"| `{r['preconditioning']}` | {r['student']['1']['fd']:.2f} | {r['student']['2']['fd']:.2f} | {r['seconds']['distill']} |")
print(f"| teacher, Heun, {rows[0]['teacher']['calls']} calls | | {rows[0]['teacher']['fd']:.2f} | |")
PY
