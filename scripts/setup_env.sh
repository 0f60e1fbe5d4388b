#!/usr/bin/env bash
# Makes .venv inside the checkout from requirements/cpu.lock. Run it, or source it: sourcing also puts .venv/bin first on PATH.
#
#   PYTHON           the interpreter to build from (default: python3.11)
#   TORCH_CPU_INDEX  URL of a package index that holds CPU wheels of torch; used for torch only. Wanted where pip's default torch
#                    is the CUDA build, which does not import here because its CUDA libraries are not installed.
#
# A second run with nothing changed returns at once: .venv/sage-setup.stamp holds the digest of what was installed. It is written
# last, so that an interrupted run is finished by the next one.

if [[ ${BASH_SOURCE[0]} != "$0" ]]; then # sourced: the work is done by a process of its own, whose shell options stay there
  bash "${BASH_SOURCE[0]}" || return $?
  VIRTUAL_ENV=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv
  export VIRTUAL_ENV PATH="$VIRTUAL_ENV/bin:$PATH"
  return 0
fi

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
lock=requirements/cpu.lock
stamp=.venv/sage-setup.stamp
log=.venv/sage-setup.log
python=.venv/bin/python

# The path belongs to the digest: neither a virtual environment nor an editable install can be moved.
want=$({ cat "$lock" setup.py && printf '%s\n' "$root"; } | sha256sum | cut -d' ' -f1)
is_ready() { [[ -f $stamp && $(<"$stamp") == "$want" && -x $python ]]; }
if is_ready; then exit 0; fi

say() { printf '[setup %3ds] %s\n' "$SECONDS" "$*" >&2; }
die() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

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
    if is_ready; then exit 0; fi
  fi
fi
rm -f "$stamp"

# False for one that was half made, has another Python, or was copied here from another folder.
is_usable() {
  "$python" -c 'import pip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && grep -qF "$root/.venv" .venv/bin/activate
}
if ! is_usable; then
  if [[ -e .venv/pyvenv.cfg && ! -e .venv/sage-setup.log ]]; then
    die ".venv was not made by this script, and it is no Python 3.11 environment for this folder: move it away and run this again."
  fi
  say "making .venv with Python $version"
  find .venv -mindepth 1 -maxdepth 1 ! -name sage-setup.lock -exec rm -rf {} +
  "$base" -m venv .venv || die "'$base -m venv' failed (on Debian and Ubuntu it needs the python3.11-venv package)."
fi
: >"$log"

total=$(grep -c '==' "$lock")
ticker=
stop_ticker() {
  if [[ -n $ticker ]]; then
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    ticker=
  fi
}
trap stop_ticker EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs pip on the arguments: its lines go to the log, and every 15 seconds one line says how far it is.
pip_install() {
  (
    exec 9>&-
    trap 'kill $! 2>/dev/null; exit 0' TERM
    while sleep 15 & wait $!; do
      placed=$(find .venv/lib/python3.11/site-packages -maxdepth 1 -name '*.dist-info' | wc -l)
      say "$(grep -cE '^(Collecting|Processing|Requirement already satisfied)' "$log" || true) looked up, $placed in place, of $total packages"
    done
  ) &
  ticker=$!
  local rc=0
  # --no-compile: pip compiles on one core whatever is never imported, too; see the end.
  "$python" -m pip install --no-deps --no-compile --progress-bar off "$@" >>"$log" 2>&1 9>&- || rc=$?
  stop_ticker
  if ((rc != 0)); then
    tail -n 15 "$log" >&2
    die "pip failed; all it said is in $log. What is installed so far is kept: run this again to go on."
  fi
}
torch_imports() { "$python" -c 'import torch' >>"$log" 2>&1 9>&-; }

# torch first, with the few packages that its import needs: a wrong build shows before the rest is downloaded.
torch=$(grep '^torch==' "$lock")
mapfile -t early < <(grep -E '^(setuptools|typing_extensions|filelock|fsspec|sympy|mpmath|networkx|Jinja2|MarkupSafe|numpy)==' "$lock")
say "installing $torch, about a minute"
pip_install "${early[@]}"
if [[ -n ${TORCH_CPU_INDEX:-} ]]; then
  force=()
  torch_imports || force=(--force-reinstall) # an installed CUDA build of the same version would satisfy pip
  pip_install ${force[@]+"${force[@]}"} --index-url "$TORCH_CPU_INDEX" "$torch"
else
  pip_install "$torch"
fi
if ! torch_imports; then
  tail -n 3 "$log" >&2
  die "$torch is installed but does not import. Most likely it is the CUDA build, which pip takes by default on Linux." \
    "Set TORCH_CPU_INDEX to the URL of a package index with CPU wheels of torch and run this again."
fi

say "installing the packages of $lock, a few minutes"
pip_install --no-build-isolation -r "$lock"
say "installing this project (editable)"
pip_install --no-build-isolation -e .

# Compiled here, on all cores, and also where PYTHONDONTWRITEBYTECODE is set (every Ray worker would compile anew). What a run
# never imports is left out; were it imported after all, Python would compile it then.
say "compiling"
skip='/tests?/|/site-packages/(anthropic|mcp|mypy|pip|sentry_sdk|wandb)/|/ray/(rllib|tune|train|serve|llm)/'
skip+='|/transformers/models/(?!auto/|qwen|llama|__init__)'
"$python" -m compileall -q -j 0 -x "$skip" .venv/lib/python3.11/site-packages >>"$log" 2>&1 9>&- || true # some ship templates

printf '%s\n' "$want" >"$stamp.new"
mv "$stamp.new" "$stamp"
say "ready"
