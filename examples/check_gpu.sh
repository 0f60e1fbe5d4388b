#!/usr/bin/env bash
# Checks a machine with an NVIDIA GPU in at most 15 minutes, and writes a report to attach to an issue.
#
#   bash examples/check_gpu.sh [FOLDER]     report in FOLDER/report.txt (default: outputs/check_gpu)
#
# Needs the environment of requirements/gpu.lock (DEVICE=cuda bash scripts/setup_env.sh), one GPU and 20 GB of disk. It needs no data
# and downloads nothing: models are built with random weights. It checks, in this order: GPU and driver; packages against the lock;
# flash-attn; the GPU tests; two steps each of GRPO and SAGE with a model of Llama-3.2-3B's size, whether engine and actor agree, and
# the memory used against the planner's estimate; rollout phases of GRPO and SAGE on one engine. Exit status 1 if a part failed or
# time ran out.
#   PYTHON        interpreter (default: .venv/bin/python, else python3)
#   CHECK_LIMIT   seconds in total (default: 900)
set -euo pipefail
if [[ " $* " =~ " "(-h|--help)" " ]]; then
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
  exit
fi
if (($# > 1)) || [[ ${1:-} == -* ]]; then
  echo "usage: bash $0 [FOLDER]" >&2
  exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(realpath -m -- "${1:-$root/outputs/check_gpu}")
python=${PYTHON:-$root/.venv/bin/python}
if [[ ! -x $python && ! ${PYTHON:-} ]]; then python=python3; fi
CHECK_LIMIT=${CHECK_LIMIT:-900}
cd "$root"
# shellcheck source=scripts/arguments.sh
source scripts/arguments.sh
whole CHECK_LIMIT 1
limit=$CHECK_LIMIT
export DEVICE=cuda PYTHON=$python PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
if ! command -v nvidia-smi >/dev/null; then
  echo "check_gpu.sh: there is no nvidia-smi here, so no NVIDIA driver: run this on the machine with the GPU" >&2
  exit 2
fi
mkdir -p "$folder"
report=$folder/report.txt
: >"$report"

results=()
part() { # NAME SECONDS COMMAND..: at most so long, and no longer than what is left of the limit
  local name=$1 seconds=$2 left=$((limit - SECONDS)) began=$SECONDS rc=0
  shift 2
  echo "== $name" | tee -a "$report"
  if ((left < 10)); then
    rc=124
  else
    # What it starts (Ray, vLLM) is stopped with it: timeout signals the whole process group.
    timeout --kill-after=20 "$((seconds < left ? seconds : left))" "$@" >"$folder/part.log" 2>&1 </dev/null || rc=$?
    cat "$folder/part.log" >>"$folder/all.log"
    tail -n 40 "$folder/part.log" | cut -c1-400 | tee -a "$report"
  fi
  case $rc in
    0) results+=("passed   $name, $((SECONDS - began)) s") ;;
    124 | 137) results+=("stopped  $name, after $((SECONDS - began)) s") ;;
    *) results+=("FAILED   $name, exit status $rc after $((SECONDS - began)) s") ;;
  esac
}

short=(data.train_batch_size=16 data.max_prompt_length=1024 data.max_response_length=512 actor_rollout_ref.actor.ppo_mini_batch_size=8
  actor_rollout_ref.rollout.max_model_len=2048 actor_rollout_ref.actor.ppo_max_token_len_per_gpu=8192 trainer.n_gpus_per_node=1)
memory=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits 2>/dev/null | head -n 1) || memory=0
if ((${memory%%[!0-9]*} < 100000)); then
  short+=(actor_rollout_ref.actor.fsdp_config.param_offload=True actor_rollout_ref.actor.fsdp_config.optimizer_offload=True)
fi
: >"$folder/all.log"

part "GPU and driver" 30 nvidia-smi --query-gpu=name,memory.total,driver_version,compute_cap --format=csv
part "commit" 10 git log -1 --format='%h %cd'
part "packages against requirements/gpu.lock" 60 "$python" scripts/check_env.py
if "$python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("flash_attn") is None)' 2>/dev/null; then
  part "flash-attn" 60 "$python" -c 'import flash_attn; print("flash-attn", flash_attn.__version__)'
else
  without=(++actor_rollout_ref.model.override_config.attn_implementation=sdpa actor_rollout_ref.model.use_remove_padding=False)
  part "flash-attn" 10 echo "no flash-attn: the launch scripts need ${without[*]}"
  short+=("${without[@]}")
fi
part "GPU tests: the embedded world" 300 "$python" -m pytest -m gpu -q tests/e2e/test_gpu.py
part "two steps of GRPO and SAGE, 3B parameters" 420 env N_GPUS=1 "$python" benchmarks/real_size.py --out "$folder/real_size" \
  --steps 2 --rows 64 --json "$folder/real_size.json" "${short[@]}"
part "the planner's estimate for them" 60 env DRY_RUN=1 N_GPUS=1 MODEL_PATH="$folder/real_size/llama-3.2-3b" \
  TRAIN_FILE="$folder/real_size/train.parquet" VAL_FILE="$folder/real_size/train.parquet" bash examples/run_llama-3.2-3b.sh \
  method=sage sage.verifier=benchmarks.real_size:Coin sage.hint_request=level sage.hint_max_tokens=256 "${short[@]}"
part "rollout phases of GRPO and SAGE" 240 "$python" -m benchmarks.rollout_schedule --model "$folder/real_size/llama-3.2-3b" --quick \
  --json "$folder/rollout_schedule.json"

{
  echo "== summary, $SECONDS s"
  printf '%s\n' "${results[@]}"
} | tee -a "$report"
echo "report: $report (all that was printed: $folder/all.log)"
! printf '%s\n' "${results[@]}" | grep -qE '^(FAILED|stopped)'
