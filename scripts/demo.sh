#!/usr/bin/env bash
# From nothing to samples: sets Retort up, builds what it runs, starts the
# service and lets it distill a Fashion-MNIST teacher into a consistency
# trajectory model that samples in one and two steps.
#
#   scripts/demo.sh [--out DIR] [--preconditioning NAME] [--keep] [--no-apt]
#                   [--bin DIR]
#
#   --out DIR               where results go (default demo-out/)
#   --preconditioning NAME  ctm, bcm, analytic (the paper's), analytic-forward,
#                           fitted-state, fitted-denoiser or fitted-spectral;
#                           the default is what was best at this length (see
#                           README)
#   --keep                  leave the server running at the end
#   --no-apt                do not install distribution packages
#   --bin DIR               use the binaries there: no set-up, no build
#
# Idempotent: a second run reuses set-up, build, teacher and tables.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
default=fitted-spectral
out="$here/demo-out"
precond=$default
keep=0
bootstrap=()
bin=

say() { printf '\033[1m[demo]\033[0m %s\n' "$*"; }
die() { printf '[demo] error: %s\n' "$*" >&2; exit 1; }

while [ $# -gt 0 ]; do
  case "$1" in
    --out) out=${2:?--out needs a folder}; shift ;;
    --preconditioning) precond=${2:?--preconditioning needs a name}; shift ;;
    --keep) keep=1 ;;
    --no-apt) bootstrap+=(--no-apt) ;;
    --bin) bin=$(cd "${2:?--bin needs a folder}" && pwd) || die "no folder $2"; shift ;;
    -h|--help) sed -n '2,18p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) die "unknown option '$1'; see scripts/demo.sh --help" ;;
  esac
  shift
done
case "$precond" in
  ctm|bcm|analytic|analytic-forward|fitted-state|fitted-denoiser|fitted-spectral) ;;
  *) die "no preconditioning '$precond'; one of ctm, bcm, analytic, analytic-forward, fitted-state, fitted-denoiser, fitted-spectral" ;;
esac
mkdir -p "$out" || die "cannot create $out"
out=$(cd "$out" && pwd)
recipe="$here/scripts/recipes/fashion-mnist"
data="$out/data"
begin=$(date +%s)
since() { echo $(( $(date +%s) - $1 )); }

setup=0 build=0
if [ -z "$bin" ]; then
  say "1/7 set-up: packages and LibTorch"
  t=$(date +%s); "$here/scripts/bootstrap.sh" "${bootstrap[@]}"; setup=$(since "$t")

  say "2/7 build: retortd, retort-worker and retort"
  t=$(date +%s); "$here/scripts/build.sh" retortd retort-worker retort; build=$(since "$t")
  bin="$here/build/release/bin"
else
  say "1/7, 2/7 set-up and build: left out, the binaries are in $bin"
fi

say "3/7 start the service (data in $data)"
started=0
stop_server() {
  if [ "$started" = 1 ] && kill -0 "$server" 2>/dev/null; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
}
trap stop_server EXIT
trap 'exit 130' INT TERM
address_of() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$data/retortd.json" "$1"; }
mkdir -p "$data"
if [ -f "$data/retortd.json" ] && kill -0 "$(address_of pid)" 2>/dev/null &&
   "$bin/retort" --server "$(address_of grpc)" cluster >/dev/null 2>&1; then
  server=$(address_of pid)
  say "a server of an earlier run is there (pid $server) and is used"
else
  rm -f "$data/retortd.json"
  nohup "$bin/retortd" --data_dir "$data" --listen 127.0.0.1:0 --http_listen 127.0.0.1:0 >>"$out/retortd.log" 2>&1 &
  server=$!
  started=1
  for _ in $(seq 100); do
    [ -f "$data/retortd.json" ] && break
    kill -0 "$server" 2>/dev/null || { tail -n 5 "$out/retortd.log" >&2; die "retortd did not start; its log is $out/retortd.log"; }
    sleep 0.2
  done
  [ -f "$data/retortd.json" ] || die "retortd said nothing for 20 s; its log is $out/retortd.log"
fi
export RETORT_SERVER; RETORT_SERVER=$(address_of grpc)
retort() { "$bin/retort" "$@"; }
say "retortd answers on $RETORT_SERVER, its metrics are on http://$(address_of http)/metrics"

have_model() { retort --json models get "$1" >/dev/null 2>&1; }
# run_job ID FILE [OPTIONS]: submits a job and follows it to its end. A job of
# an earlier run that is still there is followed, or replaced if it failed.
run_job() {
  local id=$1 file=$2 state; shift 2
  state=$(retort --json jobs get "$id" 2>/dev/null | python3 -c 'import json,sys; print(json.load(sys.stdin)["state"])' 2>/dev/null || true)
  case "$state" in
    *FAILED|*CANCELLED) retort jobs delete "$id" >/dev/null; state= ;;
  esac
  if [ -z "$state" ]; then
    retort jobs submit -f "$file" --id "$id" "$@" --watch
  else
    say "job $id of an earlier run is there ($state)"
    retort jobs watch "$id"
  fi
}
say "4/7 teacher and feature extractor"
have_model fashion-mnist-teacher ||
  retort models import "$recipe/teacher/weights.safetensors" --manifest "$recipe/teacher/manifest.json" --id fashion-mnist-teacher
have_model fashion-mnist-features ||
  retort models import "$recipe/feature-extractor/weights.safetensors" --manifest "$recipe/feature-extractor/manifest.json" --id fashion-mnist-features

say "5/7 estimate the preconditioning (l and S at 120 noise levels, fitted tables)"
have_model fashion-mnist-preconditioning ||
  run_job fashion-mnist-preconditioning "$recipe/preconditioning.yaml"
retort models export fashion-mnist-preconditioning --file preconditioning.svg --out "$out/preconditioning.svg"

student="student-$precond"
if [ "$precond" = "$default" ]; then
  why="the default: the best of all at two steps and this length (docs/experiments/demo.md)"
else
  why="chosen; the default would be $default"
fi
say "6/7 distill with the preconditioning '$precond' ($why)"
if have_model "$student"; then
  say "the student of an earlier run is there and is used"
else
  table=()
  case "$precond" in
    ctm|bcm) table=(--set 'spec.distill.preconditioning_artifact=""') ;;  # they need none
  esac
  run_job "$student" "$recipe/distill.yaml" --set "spec.distill.preconditioning=$precond" "${table[@]}"
fi

say "7/7 deploy, sample, evaluate"
have_deployment() { retort --json deployments get "$1" >/dev/null 2>&1; }
have_deployment "$student" || retort deployments create "$student" --model "$student" --wait
have_deployment teacher || retort deployments create teacher --model fashion-mnist-teacher --wait
retort sample "$student" -n 64 --steps 1 --seed 7 --grid "$out/samples-1step.png"
retort sample "$student" -n 64 --steps 2 --seed 7 --grid "$out/samples-2step.png"
retort sample teacher -n 64 --steps 18 --seed 7 --grid "$out/teacher.png"
evaluate() {  # evaluate ID MODEL STEPS
  run_job "$1" "$recipe/evaluate.yaml" --set "spec.evaluate.model=$2" --set "spec.evaluate.steps=[$3]"
}
evaluate "evaluate-$student" "$student" 1,2
evaluate evaluate-teacher fashion-mnist-teacher 2

retort --json jobs get "evaluate-$student" >"$out/evaluate-student.json"
retort --json jobs get evaluate-teacher >"$out/evaluate-teacher.json"
retort --json jobs get "$student" >"$out/distill.json"
python3 - "$out" "$precond" "$setup" "$build" "$(since "$begin")" <<'PY'
import datetime, json, sys
out, precond, setup, build, total = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
load = lambda name: json.load(open(f"{out}/{name}.json"))
parse = lambda s: datetime.datetime.fromisoformat(s.split(".")[0].rstrip("Z"))
job = load("distill")
distill = (parse(job["end_time"]) - parse(job["start_time"])).total_seconds()
results = lambda name: {int(r["steps"]): r for r in load(name)["results"]}
teacher, student = results("evaluate-teacher")[2], results("evaluate-student")
summary = {
    "preconditioning": precond,
    "teacher": {"fd": teacher["value"], "calls": int(teacher["network_calls"])},
    "student": {str(n): {"fd": r["value"], "seconds_per_image": r["seconds_per_image"]} for n, r in sorted(student.items())},
    "seconds": {"setup": setup, "build": build, "distill": round(distill), "total": total},
}
json.dump(summary, open(f"{out}/summary.json", "w"), indent=1)
print(json.dumps(summary, indent=1))
two, three = summary["student"]["2"]["fd"], summary["teacher"]["fd"]
print(f"FD-FMNIST (lower is better): student at 2 steps {two:.2f}, teacher's Heun sampler at {summary['teacher']['calls']} network calls {three:.2f}: the student is {'better' if two < three else 'NOT better'}")
PY
rm -f "$out"/evaluate-*.json "$out/distill.json"

say "done in $(since "$begin") s; look at:"
for f in samples-1step.png samples-2step.png teacher.png preconditioning.svg summary.json; do echo "    $out/$f"; done
say "to go on:"
echo "    export RETORT_SERVER=$RETORT_SERVER PATH=$bin:\$PATH"
restart="retortd --data_dir $data --listen $RETORT_SERVER --http_listen $(address_of http) &"
if [ "$started" = 1 ] && [ "$keep" = 0 ]; then
  echo "    $restart    # the server ends with this script; --keep leaves it running"
fi
echo "    retort jobs submit -f $recipe/distill.yaml --set spec.distill.training.iterations=2000 --watch"
echo "    retort jobs list"
echo "    retort sample $student -n 16 --steps 2 --class 7 --grid sneakers.png"
if [ "$keep" = 1 ]; then
  [ "$started" = 1 ] && disown "$server"
  started=0
  say "the server keeps running (pid $server); end it with: kill $server; start it again with: $restart"
fi
