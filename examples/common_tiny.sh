# shellcheck shell=bash
# What the runs on the embedded world have in common: their settings from outside, the environment, the data. Sourced by
# run_tiny_*.sh from the root of the repository.
TASK=${TASK:-opchain}
STEPS=${STEPS:-45}
SEED=${SEED:-0}
OUTPUT=${OUTPUT:-outputs/$TASK}
DEVICE=${DEVICE:-cpu} # cuda: one GPU, in an environment of requirements/gpu.txt whose interpreter is PYTHON

# shellcheck disable=SC2034  # device is used by what sources this
case $DEVICE in
cpu)
    bash scripts/setup_env.sh
    # shellcheck source=scripts/cpu_env.sh
    source scripts/cpu_env.sh
    PYTHON=.venv/bin/python
    device=()
    ;;
cuda)
    PYTHON=${PYTHON:-python3}
    device=(+device=cuda)
    ;;
*)
    echo "DEVICE=$DEVICE must be cpu or cuda" >&2
    exit 2
    ;;
esac

export TINY_DATA="$OUTPUT/data"
"$PYTHON" -m sage.toy.embedded.build_data --task "$TASK" --out "$TINY_DATA" --seed "$SEED"
