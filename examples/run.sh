#!/usr/bin/env bash
# Trains any other model, given by a folder or a name on the hub, with the settings of run_qwen2.5-7b.sh. Results are named after it.
# The planner chooses and prints what depends on the model's size: GPUs of an engine, memory, micro-batches, offloading, LoRA if
# nothing else fits, shorter lengths if the model takes fewer tokens. A key that you set stays as you set it.
#
#   TRAIN_FILE=train.parquet VAL_FILE=val.parquet bash examples/run.sh Qwen/Qwen3-1.7B method=sage [overrides]
#
# Arguments are those of common_gpu.sh. gpu=40g names the memory of a GPU, if it is not that of the GPU here.
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
