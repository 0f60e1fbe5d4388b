#!/usr/bin/env bash
# Trains GRPO and SAGE on an embedded task, on a CPU, with verl, Ray, FSDP2 and a real vLLM server.
#
#   bash examples/run_tiny_cpu.sh
#   METHODS="sage" STEPS=20 SEED=1 bash examples/run_tiny_cpu.sh
#   TASK=wheels bash examples/run_tiny_cpu.sh           (the second task, sage/toy/wheels)
#   DEVICE=cuda bash examples/run_tiny_cpu.sh           (the same on one GPU, with requirements/gpu.lock)
#
# Both methods start from the same base model, train for the same number of steps, and are tested without hints on held-out problems
# before and after. Results: $OUTPUT/summary.json and $OUTPUT/<method>/metrics.jsonl.
# Its limit: the model learns to choose between options that it has seen before, and nothing beyond them.
set -euo pipefail
cd "$(dirname "$0")/.."

METHODS=${METHODS:-"grpo sage"}
# shellcheck source=examples/common_tiny.sh
source examples/common_tiny.sh

read -ra methods <<<"$METHODS"
for method in "${methods[@]}"; do # before the results of an earlier run are removed
    [[ $method != */* ]] || { echo "METHODS=$METHODS: $method is no method" >&2 && exit 2; }
    "$PYTHON" -m recipe.sage.command_line tiny_cpu method="$method" task="$TASK" "$@" >/dev/null
done
for method in "${methods[@]}"; do
    folder="$OUTPUT/$method"
    rm -rf "$folder"
    mkdir -p "$folder"
    begin=$SECONDS
    echo "== $method: $STEPS steps, seed $SEED (log: $folder/train.log)"
    VERL_FILE_LOGGER_PATH="$folder/metrics.jsonl" \
        "$PYTHON" scripts/watch_run.py --steps "$STEPS" --log "$folder/train.log" -- \
        "$PYTHON" -m recipe.sage.main_sage --config-name tiny_cpu \
        method="$method" task="$TASK" \
        trainer.experiment_name="$method" trainer.default_local_dir="$folder" \
        trainer.total_training_steps="$STEPS" "${device[@]}" \
        data.seed="$SEED" actor_rollout_ref.rollout.seed="$SEED" actor_rollout_ref.actor.data_loader_seed="$SEED" \
        "$@"
    echo $((SECONDS - begin)) >"$folder/wall_seconds"
done

"$PYTHON" -m sage.toy.embedded.summary --output "$OUTPUT" --seed "$SEED" --methods "${methods[@]}"
