#!/usr/bin/env bash
# Trains a real language model on a CPU: SmolLM2-135M-Instruct, on word problems, with SAGE.
#
#   bash examples/run_smollm2_cpu.sh
#   STEPS=10 bash examples/run_smollm2_cpu.sh sage.hint_max_tokens=512
#
# Makes the environment and the model's folder, prepares examples/smollm2/*.jsonl in the same way as your own data, shows what the
# model will read, trains, and writes a report. STEPS and OUTPUT may be set; further arguments are Hydra overrides.
#
# Everything runs, but do not expect the model to learn. In the three steps that were measured all rollouts failed, with hints and
# without, so nothing was learnt. The first step took 288 s with the start, the others 147 and 175 s on two cores (116 s of rollouts, 26 s
# of update), and up to 13 GB of memory.
set -euo pipefail
if [[ " $* " =~ " "(-h|--help)" " ]]; then
    awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
    exit
fi
cd "$(dirname "$0")/.."

STEPS=${STEPS:-2}
# shellcheck source=scripts/arguments.sh
source scripts/arguments.sh
whole STEPS 1
OUTPUT=${OUTPUT:-outputs/smollm2}

bash scripts/setup_env.sh --with-smollm2
PYTHON=.venv/bin/python
# shellcheck source=scripts/cpu_env.sh
source scripts/cpu_env.sh
export TINY_DATA="$OUTPUT/data" SMOLLM2="$OUTPUT/model"

[[ -f $SMOLLM2/model.safetensors ]] || "$PYTHON" -m sage.toy.smollm2 --out "$SMOLLM2"
mkdir -p "$TINY_DATA"
for part in train test; do
    [[ -f $TINY_DATA/$part.parquet ]] ||
        "$PYTHON" scripts/prepare_data.py table examples/smollm2/$part.jsonl \
            --problem-column question --solution-column answer --data-source words --out "$TINY_DATA/$part.parquet"
done

run=(--config-name tiny_cpu +world=smollm2 "trainer.total_training_steps=$STEPS" "trainer.default_local_dir=$OUTPUT/sage" "$@")
"$PYTHON" -m recipe.sage.preview "${run[@]}"
mkdir -p "$OUTPUT/sage"
echo "== sage: $STEPS steps (log: $OUTPUT/sage/train.log)"
VERL_FILE_LOGGER_PATH="$OUTPUT/sage/metrics.jsonl" \
    "$PYTHON" scripts/watch_run.py --steps "$STEPS" --log "$OUTPUT/sage/train.log" -- \
    "$PYTHON" -m recipe.sage.main_sage "${run[@]}" trainer.experiment_name=smollm2
"$PYTHON" scripts/report.py "$OUTPUT/sage" --out "$OUTPUT/report.html"
