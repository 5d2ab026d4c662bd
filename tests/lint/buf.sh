#!/usr/bin/env bash
# Lints the API with buf (PyPI's buf-bin, unpacked by scripts/bootstrap.sh --lint).
set -euo pipefail
cd "${1:?folder of the repository}"
buf=${BUF:-.deps/tools/buf}
[ -x "$buf" ] || { echo "buf is missing; scripts/bootstrap.sh --lint installs it"; exit 1; }
cd proto
"../$buf" lint .
echo "buf: the API is in form"
