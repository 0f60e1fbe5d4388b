#!/usr/bin/env bash
# Makes the environment and runs the tests.
#
#   bash scripts/test.sh            the fast tests, then the end-to-end ones (marked `slow`: Ray and vLLM), each file under a limit
#   bash scripts/test.sh --fast     the fast tests only
#   bash scripts/test.sh --all      the end-to-end ones marked `long` too: about an hour more
#   bash scripts/test.sh --help     this text
#
# Other arguments go to pytest (-k ..., -x, a file; -n 0 --pdb for a debugger), except -m, which this script sets. Tests marked `gpu`
# are not run; in a GPU environment use `python -m pytest -m gpu`. FAST_LIMIT and SLOW_LIMIT are the seconds after which the fast tests,
# or one file of end-to-end tests, are stopped. What these runs started (Ray, vLLM) is stopped with them; other Ray sessions are not
# touched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ " $* " =~ " "(-h|--help)" " ]]; then
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' scripts/test.sh
  exit
fi

fast_only=false
end_to_end="slow and not gpu and not long"
args=()
for arg in "$@"; do
  case $arg in
    --fast) fast_only=true ;;
    --all) end_to_end="slow and not gpu" ;;
    *) args+=("$arg") ;;
  esac
done

source scripts/setup_env.sh
export PYTHONUNBUFFERED=1

mark=SAGE_TEST_RUN=$$.$RANDOM # in the environment of all that is started below
# Prints the ids of the processes that carry the mark and of their descendants (Ray's workers overwrite their own environment).
started_here() {
  local marked
  marked=$(grep -slzxF "$mark" /proc/[0-9]*/environ | cut -d/ -f3 | tr '\n' ' ') || true
  ps -eo pid=,ppid= | awk -v marked="$marked" '
    { parent[$1] = $2 }
    END {
      n = split(marked, m); for (i = 1; i <= n; i++) if (m[i] in parent) keep[m[i]] = 1
      do { grown = 0; for (p in parent) if (!(p in keep) && (parent[p] in keep)) { keep[p] = grown = 1 } } while (grown)
      for (p in keep) print p
    }'
}
sweep() {
  local signal
  local -a pids=() # kept from the first round: once its parent is gone, a worker cannot be told from a stranger
  for signal in TERM KILL; do
    mapfile -t -O "${#pids[@]}" pids < <(started_here)
    if ((${#pids[@]} == 0)); then return 0; fi
    kill -"$signal" "${pids[@]}" 2>/dev/null || true
    sleep 3
  done
}
trap sweep EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Runs pytest under a limit of $1 seconds. Started in the background, so that an interruption is acted on at once.
ran=0
failed=0
run_pytest() {
  local limit=$1 rc=0
  shift
  set -m # otherwise background processes, and all that they start, would ignore SIGINT
  env "$mark" timeout --kill-after=20 "$limit" python -m pytest "$@" </dev/null &
  set +m
  wait $! || rc=$?
  case $rc in
    0) ran=$((ran + 1)) ;;
    5) ;; # nothing selected
    124 | 137) failed=$((failed + 1)) && echo "test.sh: stopped after $limit s: pytest $*" >&2 ;;
    *) failed=$((failed + 1)) ;;
  esac
  sweep
}

echo "== fast tests"
# As many processes as cores, four at most; the tests of a file stay together, as they share what the file sets up.
run_pytest "${FAST_LIMIT:-1800}" -m "not slow and not gpu" --durations=15 -n logical --maxprocesses 4 --dist loadfile ${args[@]+"${args[@]}"}

if ! $fast_only; then
  slow=(-m "$end_to_end" -v --durations=5 ${args[@]+"${args[@]}"})
  if printf '%s\n' ${args[@]+"${args[@]}"} | grep -qE '^[^-].*\.py(::|$)'; then
    echo "== end-to-end tests of the files named"
    slow[1]="slow and not gpu" # those marked "long" too
    run_pytest "${SLOW_LIMIT:-3600}" "${slow[@]}"
  else
    # One process a file: the tests of a file share their training runs, and a file that hangs does not take the others with it.
    mapfile -t files < <(grep -rlE 'mark\.slow\b' tests --include='test_*.py' | sort)
    for file in ${files[@]+"${files[@]}"}; do
      echo "== end to end: $file"
      run_pytest "${SLOW_LIMIT:-3600}" "${slow[@]}" "$file"
    done
  fi
fi

if ((ran == 0 && failed == 0)); then
  echo "test.sh: no test was selected" >&2
  exit 5
fi
echo "== $ran pytest runs passed, $failed failed, $SECONDS s"
((failed == 0))
