#!/usr/bin/env bash
# The study on prompts that are never solved (Fig. 3 and 5, Table C.1): the 4.5k hardest prompts, any method, more rollouts.
#
#   TRAIN_FILE=hard.parquet VAL_FILE=val.parquet bash examples/qwen3-4b/run_hard_prompts.sh sage
#   TRAIN_FILE=.. VAL_FILE=.. bash examples/qwen3-4b/run_hard_prompts.sh off-policy
#   TRAIN_FILE=.. VAL_FILE=.. bash examples/qwen3-4b/run_hard_prompts.sh fixed-2 sage.hint_source=offline.jsonl
#
# The first argument is a file name in recipe/sage/config/method; further ones are Hydra overrides.
set -euo pipefail
if [[ $# == 0 || $1 == *=* ]]; then
  echo "usage: $0 METHOD [overrides]; the methods are the files in recipe/sage/config/method" >&2
  exit 2
fi
method=$1
shift
export EXPERIMENT="${EXPERIMENT:-qwen3-4b_hard-prompts_$method}"

SETTINGS=(
  method="$method"
  actor_rollout_ref.rollout.n=32                 # paper: G = 32
  actor_rollout_ref.actor.ppo_mini_batch_size=32 # paper: mini batch of 32
  data.max_response_length=2048                  # paper: 2048 outside the main table
  trainer.total_training_steps=200               # paper: 200, or 400 where marked with *
)
exec bash "$(dirname "$0")/run_grpo.sh" "${SETTINGS[@]}" "$@"
