#!/usr/bin/env bash
# Makes gpu.lock, cpu.lock and cpu-cuda.lock from gpu.in and cpu.in: bash requirements/lock.sh [options of `uv pip compile`]
#
# Without options a package keeps the version of today's lock where the *.in files allow it; --upgrade takes the newest of all,
# --upgrade-package NAME of one. cpu.lock follows gpu.lock.
set -euo pipefail
if [[ " $* " =~ " "(-h|--help)" " ]]; then
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
  exit
fi
cd "$(dirname "${BASH_SOURCE[0]}")"

uv=../.venv/bin/uv
[[ -x $uv ]] || uv=uv
made=$(mktemp -d)
trap 'rm -r "$made"' EXIT

# Resolves $1.in into $made/$1.lock, starting from the versions already there.
resolve() {
  "$uv" pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-annotate --no-header \
    "$1.in" -o "$made/$1.lock" "${@:2}"
}
# Writes the packages on stdin to file $1, under the remarks $2.
write() {
  local packages
  packages=$(cat)
  printf '# Made by requirements/lock.sh, not by hand.\n%s\n%s\n' "$2" "$packages" >"$1"
}
remarks() { sed '/^#/!Q' "$1"; }

cp gpu.lock "$made/gpu.lock"
resolve gpu "$@"
write gpu.lock "$(remarks gpu.in)" <"$made/gpu.lock"

# Of what cpu.in asks for, only torch's CUDA build needs packages of these names.
cuda='^(cuda-|nvidia-|triton==)'
cat cpu.lock cpu-cuda.lock >"$made/cpu.lock"
resolve cpu --overrides cpu-overrides.txt "$@"
grep -vE "$cuda" "$made/cpu.lock" | write cpu.lock "$(remarks cpu.in)"
grep -E "$cuda" "$made/cpu.lock" | write cpu-cuda.lock "# The CUDA libraries that the default package index's build of torch asks for, also on a machine without a GPU."
