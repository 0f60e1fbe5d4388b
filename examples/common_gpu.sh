# shellcheck shell=bash
# What the 8-GPU runs have in common: verl overrides with the settings that the paper reports. Sourced by run_qwen2.5-7b_*.sh.
# "paper" below is arXiv 2602.03143 (experimental settings and released scripts); values equal to verl's default are stated where a run depends on them.
#
# May be set from outside: MODEL_PATH, TRAIN_FILE, VAL_FILE (a file, or a list "[a.parquet,b.parquet]"), N_GPUS, NNODES, OUTPUT_DIR,
# EXPERIMENT, LOGGER, PYTHON. Anything else is a Hydra override at the end of the command line. The environment needs
# requirements/gpu.txt; `python scripts/check_env.py` says whether it has it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
PYTHON=${PYTHON:-python3}

MODEL_PATH=${MODEL_PATH:-Qwen/Qwen2.5-7B-Instruct} # paper, settings: models
TRAIN_FILE=${TRAIN_FILE:-$root/data/train.parquet}
VAL_FILE=${VAL_FILE:-$root/data/val.parquet}
N_GPUS=${N_GPUS:-8} # paper, settings: 8 GPUs
NNODES=${NNODES:-1}
EXPERIMENT=${EXPERIMENT:-$(basename "$0" .sh | sed 's/^run_//')}
OUTPUT_DIR=${OUTPUT_DIR:-$root/outputs/$EXPERIMENT}
LOGGER=${LOGGER:-[console,file,tensorboard]} # LOGGER="[console,wandb]" for Weights & Biases

mkdir -p "$OUTPUT_DIR"
export TENSORBOARD_DIR="${TENSORBOARD_DIR:-$OUTPUT_DIR/tensorboard}"
export VERL_FILE_LOGGER_PATH="${VERL_FILE_LOGGER_PATH:-$OUTPUT_DIR/metrics.jsonl}"

# shellcheck disable=SC2034  # read by the script that sources this file
COMMON=(
  # Data
  data.train_files="$TRAIN_FILE"
  data.val_files="$VAL_FILE"
  data.train_batch_size=128           # paper, settings: batch of 128 prompts
  data.max_prompt_length=2048         # paper, settings: released scripts
  data.max_response_length=8192       # paper, settings: main table (2048 elsewhere)
  data.filter_overlong_prompts=True   # ours: a prompt over the limit would end the run

  # Update; loss, clipping and KL (off) as in recipe/sage/config/sage.yaml, where a method does not say otherwise
  actor_rollout_ref.actor.ppo_mini_batch_size=64         # paper, settings: counted in prompts, so 2 updates a step
  actor_rollout_ref.actor.optim.lr=1e-6                  # paper, settings: released scripts

  # Rollouts
  actor_rollout_ref.rollout.name=vllm                    # paper, settings: verl + vLLM
  actor_rollout_ref.rollout.n=8                          # paper, settings: G = 8
  actor_rollout_ref.rollout.temperature=1.0              # ours: verl's default, stated because hint requests have their own
  actor_rollout_ref.rollout.tensor_model_parallel_size=1 # ours: a 7B model fits one GPU
  actor_rollout_ref.rollout.gpu_memory_utilization=0.6   # ours
  actor_rollout_ref.rollout.calculate_log_probs=True     # ours: shows that rollout and loss see the same context

  # Length of the run and evaluation (without hints)
  trainer.total_training_steps=500                       # paper, settings: 500 steps
  trainer.test_freq=50                                   # paper, settings: evaluation every 50 steps
  trainer.save_freq=50                                   # ours: so that the best evaluation can be kept
  actor_rollout_ref.rollout.val_kwargs.do_sample=True    # paper, settings: Evaluation
  actor_rollout_ref.rollout.val_kwargs.temperature=0.6   # paper, settings: Evaluation
  actor_rollout_ref.rollout.val_kwargs.top_p=0.95        # paper, settings: Evaluation
  actor_rollout_ref.rollout.val_kwargs.n=16              # paper, settings: Evaluation, 16 samples averaged

  # How the model is run
  actor_rollout_ref.model.path="$MODEL_PATH"
  ++actor_rollout_ref.model.override_config.attn_implementation=flash_attention_2
  actor_rollout_ref.model.use_remove_padding=True
  actor_rollout_ref.model.enable_gradient_checkpointing=True
  actor_rollout_ref.actor.strategy=fsdp2
  actor_rollout_ref.actor.use_dynamic_bsz=True
  actor_rollout_ref.actor.ppo_max_token_len_per_gpu=20480 # ours: two sequences of the greatest length; lower it when out of memory

  trainer.n_gpus_per_node="$N_GPUS"
  trainer.nnodes="$NNODES"
  trainer.logger="$LOGGER"
  trainer.project_name=sage
  trainer.experiment_name="$EXPERIMENT"
  trainer.default_local_dir="$OUTPUT_DIR/checkpoints"
)
