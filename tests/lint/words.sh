#!/usr/bin/env bash
# Nothing in the repository names one machine's folders, and nothing is so
# large that it does not belong in git.
set -euo pipefail
cd "${1:?folder of the repository}"
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || { echo "words: not a git checkout, nothing to check"; exit 0; }
bad=0
if git grep -nIE '(^|[^[:alnum:]_.-])/(work|root|farm)/' -- . ':!tests/lint/words.sh'; then
  echo "a path of one machine is in the repository"; bad=1
fi
while IFS= read -r -d '' file; do
  size=$(stat -c %s "$file" 2>/dev/null || echo 0)
  if [ "$size" -gt $((5 * 1024 * 1024)) ]; then echo "$file: $size bytes, the limit is 5 MiB"; bad=1; fi
done < <(git ls-files -z)
# stat fails for what is deleted and not committed yet; that is no matter here.
total=$(git ls-files -z | { xargs -0 stat -c %s 2>/dev/null || true; } | awk '{s += $1} END {print int(s / 1048576)}')
[ "$total" -le 40 ] || { echo "the repository holds $total MiB, the limit is 40"; bad=1; }
[ "$bad" = 0 ] && echo "words: clean, $total MiB"
exit "$bad"
