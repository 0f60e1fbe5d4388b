# shellcheck shell=bash
# Shared by the runs on the embedded tasks: environment variables, packages, data. run_tiny_*.sh source it from the root of the
# repository.
if [[ " $* " =~ " "(-h|--help)" " ]]; then
    awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "examples/$(basename "$0")"
    exit
fi
# shellcheck source=scripts/arguments.sh
source scripts/arguments.sh
TASK=${TASK:-opchain}
STEPS=${STEPS:-45}
SEED=${SEED:-0}
whole STEPS 1
whole SEED 0
OUTPUT=${OUTPUT:-outputs/$TASK}
DEVICE=${DEVICE:-cpu} # cuda: one GPU

if [[ $DEVICE != cuda || -z ${PYTHON:-} ]]; then # with a GPU, PYTHON names the interpreter of an environment that is there
    DEVICE=$DEVICE bash scripts/setup_env.sh
    PYTHON=.venv/bin/python
fi
# shellcheck disable=SC2034  # device is used by what sources this
case $DEVICE in
cpu)
    # shellcheck source=scripts/cpu_env.sh
    source scripts/cpu_env.sh
    device=()
    ;;
cuda)
    device=(+device=cuda)
    ;;
*)
    echo "DEVICE=$DEVICE must be cpu or cuda" >&2
    exit 2
    ;;
esac

export TINY_DATA="$OUTPUT/data"
"$PYTHON" -m sage.toy.embedded.build_data --task "$TASK" --out "$TINY_DATA" --seed "$SEED"
