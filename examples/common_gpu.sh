# shellcheck shell=bash
# What every launch script on GPUs shares: what may be set from outside, and what its own name says. Sourced by launch.sh and
# launch_sft.sh, which the links <model>/run_<method>[_megatron].sh point to.
#
# May be set from outside; nothing else of the environment is changed, except that the root of the repository is put first in
# PYTHONPATH:
#   TRAIN_FILE, VAL_FILE   Parquet files, or lists "[a.parquet,b.parquet]"
#   MODEL_PATH             folder or name on the hub            N_GPUS, NNODES   GPUs of a node, nodes
#   OUTPUT_DIR             checkpoints, metrics, logs           EXPERIMENT       its name in the loggers
#   LOGGER                 e.g. "[console,file,wandb]"          ENGINE           fsdp or megatron
#   DRY_RUN=1              print configuration and arithmetic   PYTHON           interpreter
#   PREVIEW=1              print what the model would read
# and where metrics go: TENSORBOARD_DIR, VERL_FILE_LOGGER_PATH. Further arguments are Hydra overrides; they come last and win.
# With RAY_ADDRESS set the run joins that Ray cluster, which several nodes need. The environment is that of
# requirements/gpu.txt; `python scripts/check_env.py` says whether it is there.

absolute() { # a path or a list of absolute paths; Ray's workers may run in another folder
  if [[ $1 == \[* ]]; then echo "$1"; else realpath -m -- "$1"; fi
}

folder=$(cd "$(dirname "$0")" && pwd) # that of the link, not of what it points to
root=$(cd "$folder/../.." && pwd)
if [[ ! -f $folder/model.sh ]]; then
  echo "$0: run a link in a model's folder instead, such as examples/qwen2.5-7b/run_sage.sh" >&2
  exit 2
fi
method=$(basename "$0" .sh)
method=${method#run_}
if [[ $method == *_megatron ]]; then
  method=${method%_megatron}
  ENGINE=megatron
fi
ENGINE=${ENGINE:-fsdp}
if [[ $ENGINE != fsdp && $ENGINE != megatron ]]; then
  echo "ENGINE=$ENGINE must be fsdp or megatron" >&2
  exit 2
fi
# shellcheck source=examples/qwen2.5-7b/model.sh
source "$folder/model.sh"
if [[ -d $MODEL_PATH ]]; then MODEL_PATH=$(absolute "$MODEL_PATH"); fi

export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
PYTHON=${PYTHON:-python3}
TRAIN_FILE=$(absolute "${TRAIN_FILE:-$root/data/train.parquet}")
VAL_FILE=$(absolute "${VAL_FILE:-$root/data/val.parquet}")
N_GPUS=${N_GPUS:-8} # paper: 8 GPUs (A100)
NNODES=${NNODES:-1}
EXPERIMENT=${EXPERIMENT:-$(basename "$folder")_$(basename "$0" .sh | sed 's/^run_//')}
OUTPUT_DIR=$(absolute "${OUTPUT_DIR:-$root/outputs/$EXPERIMENT}")
LOGGER=${LOGGER:-[console,file,tensorboard]}
DRY_RUN=${DRY_RUN:-0}
PREVIEW=${PREVIEW:-0}

export TENSORBOARD_DIR="${TENSORBOARD_DIR:-$OUTPUT_DIR/tensorboard}"
metrics=$OUTPUT_DIR/metrics.jsonl
if [[ -e $metrics ]]; then metrics=$OUTPUT_DIR/metrics.$(date +%Y%m%d-%H%M%S).jsonl; fi # resumed: verl would empty the old file
export VERL_FILE_LOGGER_PATH="${VERL_FILE_LOGGER_PATH:-$metrics}"
if [[ $DRY_RUN$PREVIEW == 00 ]]; then mkdir -p "$OUTPUT_DIR"; fi
