# shellcheck shell=bash
# What the runs on the embedded world have in common: their settings from outside, the environment, the data. Sourced by
# run_tiny_*.sh from the root of the repository.
TASK=${TASK:-opchain}
STEPS=${STEPS:-45}
SEED=${SEED:-0}
OUTPUT=${OUTPUT:-outputs/$TASK}

bash scripts/setup_env.sh
# shellcheck source=scripts/cpu_env.sh
source scripts/cpu_env.sh

export TINY_DATA="$OUTPUT/data"
.venv/bin/python -m sage.embedded.build_data --task "$TASK" --out "$TINY_DATA" --seed "$SEED"
