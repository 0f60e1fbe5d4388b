#!/usr/bin/env bash
# Any other model, a folder or a name on the hub, with the settings of run_qwen2.5-7b.sh; results are named after it. What belongs to the
# model's size is chosen by the planner and printed: GPUs of an engine, memory, micro-batches, offloading, LoRA where nothing else
# fits, lengths where the model takes fewer tokens. A key that you set stays.
#
#   TRAIN_FILE=train.parquet VAL_FILE=val.parquet bash examples/run.sh Qwen/Qwen3-1.7B method=sage [overrides]
#
# Arguments as in common_gpu.sh; gpu=40g names the memory of a GPU where it is not that of the GPU here.
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
exec bash "$(dirname "${BASH_SOURCE[0]}")/run_qwen2.5-7b.sh" gpu=auto "${@:2}"
