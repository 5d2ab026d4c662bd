#!/usr/bin/env bash
# Checks that every C++ source is as clang-format (Google) would write it.
set -euo pipefail
cd "${1:?folder of the repository}"
formatter=${CLANG_FORMAT:-clang-format}
command -v "$formatter" >/dev/null || { echo "clang-format is missing; scripts/bootstrap.sh --lint installs it"; exit 1; }
mapfile -t files < <(find core server client tests -name '*.h' -o -name '*.cc' -o -name '*.cu')
printf '%s\n' "${files[@]}" | xargs "$formatter" --dry-run --Werror
echo "format: ${#files[@]} files are in form"
