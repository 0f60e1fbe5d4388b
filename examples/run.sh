#!/usr/bin/env bash
# Any other model, a folder or a name on the hub, with the settings of run_qwen2.5-7b.sh; results are named after it.
#
#   TRAIN_FILE=train.parquet VAL_FILE=val.parquet bash examples/run.sh Qwen/Qwen3-1.7B method=sage [overrides]
#
# Arguments as in common_gpu.sh. What belongs to the model's size (DRY_RUN=1 says whether it fits):
# actor_rollout_ref.rollout.tensor_model_parallel_size=1, actor_rollout_ref.rollout.gpu_memory_utilization=0.6 and, for
# backend=megatron, actor_rollout_ref.actor.megatron.tensor_model_parallel_size=4.
set -euo pipefail
if [[ " $* " =~ " "(-h|--help)" " ]]; then
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
  exit
fi
if [[ ! ${1:-} || $1 == -* || ($1 == *=* && ! -d $1) ]]; then
  echo "usage: bash $0 MODEL [method=sage] [backend=fsdp] [overrides]; MODEL is a folder or a name on the hub" >&2
  exit 2
fi
export MODEL_PATH=$1
exec bash "$(dirname "${BASH_SOURCE[0]}")/run_qwen2.5-7b.sh" "${@:2}"
