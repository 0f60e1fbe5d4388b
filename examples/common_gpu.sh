# shellcheck shell=bash
# Shared by the launch scripts for GPUs: run_llama-3.2-3b.sh, run_qwen2.5-7b.sh and run_qwen3-4b.sh source it.
#
#   bash examples/run_MODEL.sh [method=sage] [backend=fsdp] [length=16k] [Hydra overrides]
#
#   method=NAME      a file in recipe/sage/config/method, or sft: verl's SFT trainer on the reference solutions
#   backend=NAME     fsdp or megatron
#   length=NAME      16k: responses of 16384 tokens instead of 8192; 32k: prompt and response of 32768 tokens together
#   gpu=24g          memory of a GPU, or gpu=auto for that of the GPU here: the planner (recipe/sage/fit.py) chooses what depends on it
#                    and on the model's size, and prints it. A key that you set stays as you set it
#   study=hard-prompts   run_qwen3-4b.sh only
#
# Overrides come last and win. These environment variables are read:
#   TRAIN_FILE, VAL_FILE   Parquet files, or lists "[a.parquet,b.parquet]"
#   MODEL_PATH             folder or name on the hub            N_GPUS, NNODES   GPUs of a node, nodes
#   OUTPUT_DIR             checkpoints, metrics, logs           EXPERIMENT       the run's name in the loggers
#   LOGGER                 e.g. "[console,file,wandb]"          PYTHON           interpreter
#   DRY_RUN=1              print settings, memory and hours     PREVIEW=1        print what the model would read
#   TENSORBOARD_DIR, VERL_FILE_LOGGER_PATH   where metrics go
#   RAY_ADDRESS            the Ray cluster to join; needed for several nodes
# The root of the repository is put first in PYTHONPATH. The packages are those of requirements/gpu.lock; to compare yours with it, run
# `python scripts/check_env.py`.

# shellcheck disable=SC2034  # read by launch, by name
LENGTH_16K=( # all ours, like the following lists; a micro-batch keeps its 20480 tokens a GPU, and so its memory, and vLLM runs as
             # many rows at once as its cache holds (DRY_RUN=1 says how many)
  data.max_response_length=16384 # in validation as well
  actor_rollout_ref.rollout.max_model_len=18432
  actor_rollout_ref.actor.ppo_max_token_len_per_gpu=20480 # one of the longest rows; verl takes the same for log-probs
)
# shellcheck disable=SC2034
LENGTH_32K=(
  data.max_response_length=30720 # with the prompt 32768, all that Qwen2.5-7B takes
  actor_rollout_ref.rollout.max_model_len=32768
  actor_rollout_ref.actor.ppo_max_token_len_per_gpu=20480 # of two GPUs, which share a row:
)
# shellcheck disable=SC2034
LENGTH_32K_FSDP=(actor_rollout_ref.actor.ulysses_sequence_parallel_size=2)
# shellcheck disable=SC2034
LENGTH_32K_MEGATRON=(actor_rollout_ref.actor.megatron.context_parallel_size=2)

# shellcheck source=scripts/arguments.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/arguments.sh"

refuse() {
  echo "${0##*/}: $*" >&2
  exit 2
}

help() { # the heads of the script that was called and of this file
  local file
  for file in "$0" "${BASH_SOURCE[0]}"; do awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); if (!/^shellcheck/) print }' "$file"; done
}

absolute() { # a path, or a list of them as it is; Ray's workers may run in another folder
  # shellcheck disable=SC2088  # one in quotes, which the shell has left as it is
  [[ $1 != "~/"* ]] || set -- "$HOME/${1#"~/"}"
  if [[ $1 == \[*\] && ! -e $1 ]]; then echo "$1"; else realpath -m -- "$1"; fi
}

name_of() { # the last part of a path or a name on the hub; of a snapshot in the hub's cache, the model
  if [[ $1 =~ models--[^/]*--([^/]+)/snapshots/ ]]; then echo "${BASH_REMATCH[1]}"; else basename -- "$1"; fi
}

# Starts what the arguments ask for, with MODEL and the arrays SETTINGS, SFT, MEGATRON and HARD_PROMPTS of the calling script.
launch() {
  local method=sage backend=fsdp length="" gpu="" study="" argument root methods file
  local -a given=() chosen arguments
  for argument in "$@"; do
    case $argument in
      -h | --help) help && exit ;;
      method=*) method=${argument#*=} ;;
      backend=*) backend=${argument#*=} ;;
      length=*) length=${argument#*=} ;;
      gpu=*) gpu=${argument#*=} ;;
      study=*) study=${argument#*=} ;;
      *) given+=("$argument") ;;
    esac
  done
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  methods=" "
  for file in "$root"/recipe/sage/config/method/*.yaml; do methods+="$(basename "$file" .yaml) "; done
  methods+="sft "
  [[ $method && $methods == *" $method "* ]] || refuse "method=$method must be one of:${methods% }"
  [[ $backend == fsdp || $backend == megatron ]] || refuse "backend=$backend must be fsdp or megatron"
  [[ ! $gpu || $gpu =~ ^(auto|[1-9][0-9]{0,4}g?)$ ]] || refuse "gpu=$gpu must be the memory of a GPU in GB, such as gpu=24g, or auto"
  [[ ! $length || $length == 16k || $length == 32k ]] || refuse "length=$length must be 16k or 32k"
  [[ ! $length || $method != sft ]] || refuse "length=$length takes any method but sft, for which data.max_length is set"
  [[ ! $gpu || $gpu == auto || $method != sft ]] || refuse "gpu=$gpu takes any method but sft, for which data.max_token_len_per_gpu is set"
  [[ ! $study || $study == hard-prompts ]] || refuse "study=$study must be hard-prompts"
  [[ ! $study || ${HARD_PROMPTS+set} ]] || refuse "study=$study has settings in run_qwen3-4b.sh only"
  [[ ! $study || $method != sft ]] || refuse "study=$study takes any method but sft"
  [[ $method != sft || ${SFT+set} ]] || refuse "method=sft has no settings in this script"
  [[ $backend != megatron || ${MEGATRON+set} ]] || refuse "backend=megatron has no settings in this script"

  N_GPUS=${N_GPUS:-8} # paper: 8 GPUs (A100)
  NNODES=${NNODES:-1}
  whole N_GPUS 1
  whole NNODES 1

  local name=${0##*/run_}
  name=${name%.sh}
  if [[ ${MODEL_PATH:-} ]]; then name=$(name_of "$MODEL_PATH"); fi
  MODEL_PATH=${MODEL_PATH:-$MODEL}
  if [[ -d $MODEL_PATH ]]; then MODEL_PATH=$(absolute "$MODEL_PATH"); fi
  name+=${study:+_$study}${length:+_$length}_$method
  if [[ $backend == megatron ]]; then name+=_megatron; fi
  EXPERIMENT=${EXPERIMENT:-$name}
  OUTPUT_DIR=$(absolute "${OUTPUT_DIR:-$root/outputs/$EXPERIMENT}")
  TRAIN_FILE=$(absolute "${TRAIN_FILE:-$root/data/train.parquet}")
  VAL_FILE=$(absolute "${VAL_FILE:-$root/data/val.parquet}")
  PYTHON=${PYTHON:-python3}
  command -v -- "$PYTHON" >/dev/null || refuse "PYTHON=$PYTHON: there is no such command"
  switch DRY_RUN
  switch PREVIEW

  chosen=(
    trainer.n_gpus_per_node="$N_GPUS"
    trainer.nnodes="$NNODES"
    trainer.logger="${LOGGER:-[console,file,tensorboard]}"
    trainer.project_name=sage
    text:trainer.experiment_name="$EXPERIMENT" # text: whatever it looks like
    text:trainer.default_local_dir="$OUTPUT_DIR/checkpoints"
  )
  local config=sage_trainer module=recipe.sage.main_sage
  local -a before=() after=()
  if [[ $method == sft ]]; then
    config=sft_trainer_engine module=verl.trainer.sft_trainer_ray
    chosen+=(
      "${SFT[@]}" data.train_files="$OUTPUT_DIR/sft.parquet" text:model.path="$MODEL_PATH"
      trainer.save_freq=after_each_epoch "checkpoint.save_contents=[model,optimizer,extra,hf_model]"
      model.use_remove_padding=True model.enable_gradient_checkpointing=True
    )
    if [[ $backend == megatron ]]; then
      chosen+=(engine=megatron optim=megatron "${MEGATRON[@]/#/engine.}")
    else
      chosen+=(engine.strategy=fsdp2 ++model.override_config.attn_implementation=flash_attention_2)
    fi
    if [[ $PREVIEW != 0 ]]; then
      refuse "PREVIEW=1 is for the methods with rollouts; see the rows of sft.parquet that python -m sage.data.sft writes"
    fi
    if [[ $DRY_RUN != 0 ]]; then after=(--cfg job); fi
  else
    chosen+=(
      method="$method" "${SETTINGS[@]}" data.train_files="$TRAIN_FILE" data.val_files="$VAL_FILE"
      text:actor_rollout_ref.model.path="$MODEL_PATH"
    )
    if [[ $study ]]; then chosen+=("${HARD_PROMPTS[@]}"); fi
    if [[ $backend == megatron ]]; then
      chosen+=(model_engine=megatron "${MEGATRON[@]/#/actor_rollout_ref.actor.megatron.}")
    else
      chosen+=(
        actor_rollout_ref.actor.strategy=fsdp2
        ++actor_rollout_ref.model.override_config.attn_implementation=flash_attention_2
      )
    fi
    if [[ $length ]]; then
      local -n long=LENGTH_${length^^}
      chosen+=("${long[@]}")
      if [[ $length == 32k ]]; then
        local -n shared=LENGTH_32K_${backend^^}
        chosen+=("${shared[@]}")
      fi
    fi
    if [[ $PREVIEW != 0 ]]; then module=recipe.sage.preview; fi
    if [[ $DRY_RUN != 0 ]]; then module=recipe.sage.dry_run; fi
  fi
  if [[ $DRY_RUN$PREVIEW == 00 ]]; then before=(text:hydra.run.dir="$OUTPUT_DIR/hydra"); fi

  export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
  mapfile -d '' -t arguments < <("$PYTHON" -m recipe.sage.command_line "$config" "${chosen[@]}" "${before[@]}" "${given[@]}")
  wait $! || exit 2 # it has said why

  if [[ $gpu && $method != sft ]]; then
    local fitting
    fitting=$("$PYTHON" -m recipe.sage.fit "$gpu" "${arguments[@]}" -- "${given[@]}") || exit 2 # it has said why
    mapfile -t -O "${#arguments[@]}" arguments < <(printf "%s" "$fitting")
    if [[ $DRY_RUN != 0 && $gpu != auto ]]; then arguments+=(--gpu-memory "${gpu%g}"); fi
  fi

  export TENSORBOARD_DIR="${TENSORBOARD_DIR:-$OUTPUT_DIR/tensorboard}"
  local metrics=$OUTPUT_DIR/metrics.jsonl
  if [[ -e $metrics ]]; then metrics=$OUTPUT_DIR/metrics.$(date +%Y%m%d-%H%M%S).jsonl; fi # resumed: verl would empty the old file
  export VERL_FILE_LOGGER_PATH="${VERL_FILE_LOGGER_PATH:-$metrics}"
  if [[ $DRY_RUN$PREVIEW == 00 ]]; then
    mkdir -p "$OUTPUT_DIR" 2>/dev/null && [[ -w $OUTPUT_DIR ]] || refuse "OUTPUT_DIR=$OUTPUT_DIR: no such folder can be written to"
    if [[ $method == sft ]]; then "$PYTHON" -m sage.data.sft --data "$TRAIN_FILE" --out "$OUTPUT_DIR/sft.parquet"; fi
  fi
  exec "$PYTHON" -m "$module" "${arguments[@]}" "${after[@]}"
}
