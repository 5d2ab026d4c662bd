#!/usr/bin/env bash
# Sets up what Retort needs to be built: distribution packages and LibTorch.
# Idempotent: whatever is already there is left alone.
#
#   scripts/bootstrap.sh [--cuda] [--lint] [--tests] [--no-apt] [--help]
#
#   --cuda    also unpack the CUDA side of LibTorch (several GB more)
#   --lint    also set up what the lint tests use (clang-format, buf,
#             Kubernetes' schema)
#   --tests   also install what the integration tests use (Slurm)
#   --no-apt  do not install distribution packages (they must be there)
#
# Downloads are verified by SHA-256 and kept, by hash, in
# ${XDG_CACHE_HOME:-$HOME/.cache}/retort; unpacked trees go to .deps/.
# Nothing is installed into the user's Python.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps="$here/.deps"
cache="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/retort"
cuda=0
lint=0
tests=0
apt=1

say() { printf '\033[1m[bootstrap]\033[0m %s\n' "$*"; }
die() { printf '[bootstrap] error: %s\n' "$*" >&2; exit 1; }

while [ $# -gt 0 ]; do
  case "$1" in
    --cuda) cuda=1 ;;
    --lint) lint=1 ;;
    --tests) tests=1 ;;
    --no-apt) apt=0 ;;
    -h|--help) sed -n '2,16p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) die "unknown option '$1'; see scripts/bootstrap.sh --help" ;;
  esac
  shift
done

# name of the distribution's package : why
packages=(
  build-essential cmake ninja-build ccache mold pkg-config git unzip
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
  libabsl-dev libre2-dev libssl-dev zlib1g-dev prometheus-cpp-dev libsqlite3-dev
  libspdlog-dev libcli11-dev nlohmann-json3-dev libyaml-cpp-dev libpng-dev
  libgtest-dev libgmock-dev libgloo-dev
  dataset-fashion-mnist python3
)

[ "$lint" = 0 ] || packages+=(clang-format python3-yaml python3-jsonschema)
# Its services need not run: tests start their own (tests/support/slurm_cluster.h).
[ "$tests" = 0 ] || packages+=(slurm-wlm munge)
python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)

install_packages() {
  local missing=() p
  for p in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' ||
      missing+=("$p")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    say "distribution packages: all ${#packages[@]} there"
    return
  fi
  [ "$apt" = 1 ] || die "missing packages: ${missing[*]} (install them, or leave --no-apt out)"
  command -v apt-get >/dev/null || die "apt-get is not here; install these packages yourself: ${missing[*]}"
  local sudo=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "installing packages needs root or sudo: ${missing[*]}"
    sudo=(sudo)
  fi
  say "installing ${#missing[@]} distribution packages: ${missing[*]}"
  local log; log=$(mktemp "${TMPDIR:-/tmp}/retort-apt.XXXXXX")
  # env behind sudo, which clears the environment
  local apt_get=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get)
  if ! { "${apt_get[@]}" update &&
         "${apt_get[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    grep -E '^(E|Err|W):?' "$log" | head -n 3 >&2 || true
    die "apt-get failed (no network, no disk or no permission?); its whole output is in $log"
  fi
  rm -f "$log"
}

# fetch_wheel NAME VERSION SHA256 [PLATFORM...] -> prints the path of the file;
# without platforms, for this machine's
fetch_wheel() {
  local name=$1 version=$2 sum=$3; shift 3
  local file="$cache/$sum.whl"
  if [ -f "$file" ] && echo "$sum  $file" | sha256sum --check --status; then
    printf '%s\n' "$file"; return
  fi
  rm -f "$file"
  local tmp; tmp=$(mktemp -d "$cache/fetch.XXXXXX") || die "cannot write to the cache folder $cache (permission or disk?)"
  local platforms=() p
  for p in "$@"; do platforms+=(--platform "$p"); done
  say "fetching $name $version" >&2
  if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
       --implementation cp --python-version 3.11 --abi cp311 --abi none "${platforms[@]}" \
       --dest "$tmp" "$name==$version" >"$tmp/log" 2>&1; then
    tail -n 2 "$tmp/log" >&2; rm -rf "$tmp"
    die "pip could not download $name==$version (no network, no disk, or python3-pip missing?)"
  fi
  local got; got=$(ls "$tmp"/*.whl)
  echo "$sum  $got" | sha256sum --check --status || { rm -rf "$tmp"; die "$name $version: SHA-256 differs from the pinned $sum; refusing to use it"; }
  mv "$got" "$file"; rm -rf "$tmp"
  printf '%s\n' "$file"
}

unpack() {  # unpack FILE DEST EXCLUDES...
  local file=$1 dest=$2; shift 2
  python3 - "$file" "$dest" "$@" <<'PY' || die "could not unpack $file (is the disk full?)"
import fnmatch, sys, zipfile
src, dest, skip = sys.argv[1], sys.argv[2], sys.argv[3:]
try:
    with zipfile.ZipFile(src) as z:
        for m in z.infolist():
            if not any(fnmatch.fnmatch(m.filename, s) for s in skip):
                z.extract(m, dest)
except OSError as e:
    sys.exit(f"unpack: {e}")
PY
}

install_libtorch() {
  local stamp want="torch-2.11.0 cuda=$cuda layout=1"
  stamp="$deps/libtorch.stamp"
  if [ -f "$stamp" ]; then
    local have; have=$(cat "$stamp")
    if [ "$have" = "$want" ] || [ "$have" = "torch-2.11.0 cuda=1 layout=1" ]; then
      say "LibTorch 2.11.0: there ($have)"; return
    fi
  fi
  command -v python3 >/dev/null || die "python3 is needed (with pip) to fetch LibTorch"
  python3 -m pip --version >/dev/null 2>&1 || die "python3 has no pip; install python3-pip"
  mkdir -p "$cache" "$deps" || die "cannot create $cache or $deps (permission?)"
  local free; free=$(df -Pk "$deps" | awk 'NR==2 {print int($4/1048576)}')
  local need=3
  [ "$cuda" = 0 ] || need=10
  [ "$free" -ge "$need" ] || die "only ${free} GiB free below $deps; LibTorch needs $need"
  local torch rt cupti tree="$deps/libtorch.part"
  torch=$(fetch_wheel torch 2.11.0 7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a manylinux_2_28_x86_64)
  rt=$(fetch_wheel nvidia-cuda-runtime 13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548 manylinux2014_x86_64 manylinux_2_17_x86_64)
  cupti=$(fetch_wheel nvidia-cuda-cupti 13.0.85 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8 manylinux_2_25_x86_64)
  say "unpacking LibTorch into .deps/libtorch"
  rm -rf "$tree"; mkdir -p "$tree"
  local skip=('*.py' '*.pyi' '*/test/*' 'torch/include/google/*' 'torch/bin/*' 'torchgen/*' 'functorch/*' 'torch/lib/libtorch_python.so')
  if [ "$cuda" = 0 ]; then
    skip+=('torch/lib/libtorch_cuda*' 'torch/lib/libtorch_nvshmem*' 'torch/lib/libc10_cuda*' 'torch/lib/libcaffe2_nvrtc*' 'torch/lib/libtorch_cuda_linalg*')
  fi
  unpack "$torch" "$tree" "${skip[@]}"
  unpack "$rt" "$tree"
  unpack "$cupti" "$tree"
  if [ "$cuda" = 1 ]; then
    install_cuda_wheels "$tree"
  fi
  rm -rf "$deps/libtorch"; mv "$tree" "$deps/libtorch"
  printf '%s\n' "$want" > "$stamp"
}

# The CUDA libraries that the torch wheel asks for, pinned by hash.
install_cuda_wheels() {
  local tree=$1 name version sum wheel
  say "the CUDA 13 libraries are 2 GB"
  while read -r -u 3 name version sum; do
    wheel=$(fetch_wheel "$name" "$version" "$sum")
    unpack "$wheel" "$tree"
  done 3< <(sed -n 's/^\([a-z0-9-]*\)==\([0-9.]*\) --hash=sha256:\([0-9a-f]*\)$/\1 \2 \3/p' "$here/scripts/cuda-requirements.txt")
}

install_buf() {
  local version=1.75.0 wheel
  if [ -x "$deps/tools/buf" ] && [ "$(cat "$deps/tools/buf.version" 2>/dev/null)" = "$version" ]; then
    say "buf $version: there"; return
  fi
  mkdir -p "$cache" "$deps/tools"
  wheel=$(fetch_wheel buf-bin "$version" 6fd3ecb1694b6f5bcdfb9bef5297b330ffb9731b95445a42944c1b6158428101 manylinux_2_17_x86_64 manylinux2014_x86_64)
  rm -rf "$deps/tools/unpacked"
  unpack "$wheel" "$deps/tools/unpacked"
  local binary; binary=$(find "$deps/tools/unpacked" -type f -name buf | head -n 1)
  [ -n "$binary" ] || die "the wheel of buf-bin $version holds no program named buf"
  mv "$binary" "$deps/tools/buf"; chmod +x "$deps/tools/buf"
  rm -rf "$deps/tools/unpacked"
  printf '%s\n' "$version" > "$deps/tools/buf.version"
}

# What the API server of this version takes, which tests/lint/deploy.py asks.
install_kubernetes_schema() {
  local schema="$deps/tools/kubernetes-1.31.json" wheel
  [ ! -f "$schema" ] || { say "Kubernetes' schema: there"; return; }
  mkdir -p "$cache" "$deps/tools"
  wheel=$(fetch_wheel kubernetes-validate 1.37.0 85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9 any)
  unzip -p "$wheel" kubernetes_validate/kubernetes-json-schema/v1.31.0-local-strict/_definitions.json > "$schema.part" ||
    die "could not unpack $wheel (is the disk full?)"
  mv "$schema.part" "$schema"
}

say "Retort set-up: packages, then LibTorch 2.11.0 ($([ $cuda = 1 ] && echo CUDA || echo CPU only))"
start=$(date +%s)
install_packages
install_libtorch
[ "$lint" = 0 ] || { install_buf; install_kubernetes_schema; }
say "ready in $(( $(date +%s) - start )) s"
