#!/usr/bin/env bash
# A first run on one GPU, in an afternoon: Qwen2.5-1.5B-Instruct on GSM8K. With 24 GB it trains a LoRA adapter, with more memory all
# weights.
#
#   python scripts/prepare_data.py table gsm8k.jsonl --hold-out 500 --out gsm8k.parquet
#   TRAIN_FILE=gsm8k.parquet VAL_FILE=gsm8k.val.parquet bash examples/run_one_gpu.sh gpu=24g method=sage
#   MODEL_PATH=Qwen/Qwen3-1.7B DRY_RUN=1 TRAIN_FILE=.. VAL_FILE=.. bash examples/run_one_gpu.sh gpu=40g method=grpo
#
# gpu=24g, gpu=40g, gpu=80g and so on name the GPU's memory; the default, gpu=auto, takes that of the GPU here. All arguments and
# environment variables are in common_gpu.sh. All values are ours: a quarter of the paper's batch, and short responses. For the hours
# that it may take see docs/training.md.
set -euo pipefail
# shellcheck source=examples/common_gpu.sh
source "$(dirname "${BASH_SOURCE[0]}")/common_gpu.sh"
# shellcheck disable=SC2034  # all of it is read by launch

MODEL=Qwen/Qwen2.5-1.5B-Instruct # MODEL_PATH names a copy, or another model
N_GPUS=${N_GPUS:-1}

SETTINGS=(
  # Data
  data.train_batch_size=32
  data.max_prompt_length=1024
  data.max_response_length=1024 # five times the mean of GSM8K's answers
  data.filter_overlong_prompts=True
  sage.hint_max_tokens=512 # GSM8K's solutions are short, and so are hints

  # Update
  actor_rollout_ref.actor.ppo_mini_batch_size=16
  actor_rollout_ref.actor.optim.lr=1e-6 # with LoRA ten times as much
  actor_rollout_ref.model.use_remove_padding=True
  actor_rollout_ref.model.enable_gradient_checkpointing=True
  actor_rollout_ref.actor.use_dynamic_bsz=True

  # Rollouts
  actor_rollout_ref.rollout.name=vllm
  actor_rollout_ref.rollout.n=8
  actor_rollout_ref.rollout.temperature=1.0
  actor_rollout_ref.rollout.max_model_len=2048

  # Length of the run, and evaluation (without hints)
  trainer.total_training_steps=200
  trainer.total_epochs=1000 # the steps end the run, not the epochs
  trainer.test_freq=50
  trainer.save_freq=100
  trainer.max_actor_ckpt_to_keep=1
  actor_rollout_ref.rollout.val_kwargs.do_sample=True
  actor_rollout_ref.rollout.val_kwargs.temperature=0.6
  actor_rollout_ref.rollout.val_kwargs.top_p=0.95
  actor_rollout_ref.rollout.val_kwargs.n=1
)

launch gpu=auto "$@"
