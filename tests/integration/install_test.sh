#!/usr/bin/env bash
# What `cmake --install` puts somewhere can be moved, and needs of the system
# what every node has (docs/operations.md).
#
#   install_test.sh BUILD LIBTORCH
set -euo pipefail
build=$1 libtorch=$2

place=$(mktemp -d "${TMPDIR:-/tmp}/retort-install.XXXXXX")
trap 'rm -rf "$place"' EXIT
cmake --install "$build" --prefix "$place/first" --component programs >/dev/null
# The component "libtorch", without copying it.
ln -s "$libtorch/torch" "$libtorch/nvidia" "$place/first/lib/retort/"
tree=$place/moved
mv "$place/first" "$tree"

system='^(linux-vdso|ld-linux-x86-64|libc|libm|libdl|librt|libpthread|libutil|libresolv|libstdc[+][+]|libgcc_s|libz|libssl|libcrypto)[.]so'
failed=0
for program in retortd retort retort-worker retort-simulate retort-parity; do
  # "name => path (address)", or "path (address)"
  while read -r name arrow path _; do
    name=${name##*/}
    if [ "$arrow" = "=>" ] && [[ $path == "$tree"/* ]]; then continue; fi
    if [ "$path" != not ] && [[ $name =~ $system ]]; then continue; fi
    echo "$program: $name: $arrow $path" >&2
    failed=1
  done < <(ldd "$tree/bin/$program")
  "$tree/bin/$program" --help >/dev/null || { echo "$program --help fails" >&2; failed=1; }
done
for file in deploy/systemd/retortd.service deploy/slurm/retortd.yaml recipes; do
  [ -e "$tree/share/retort/$file" ] || { echo "no $file" >&2; failed=1; }
done
exit $failed
