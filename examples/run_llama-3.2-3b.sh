#!/usr/bin/env bash
# Llama-3.2-3B-Instruct: 24 attention heads, 8 of keys and values, up to 131072 tokens.
#
#   TRAIN_FILE=train.parquet VAL_FILE=val.parquet bash examples/run_llama-3.2-3b.sh method=sage
#   TRAIN_FILE=.. VAL_FILE=.. bash examples/run_llama-3.2-3b.sh method=scaf-grpo sage.hint_source=teacher.jsonl
#   DRY_RUN=1 TRAIN_FILE=.. VAL_FILE=.. bash examples/run_llama-3.2-3b.sh method=sage-light backend=megatron
#
# All arguments and environment variables are in common_gpu.sh. Each value below names its source: "paper" is arXiv 2602.03143,
# experimental settings; "released" its released scripts; "ours" is used where neither says anything. Values equal to verl's default
# are stated if a run depends on them. Other settings of all methods are in recipe/sage/config/sage.yaml (clipping 0.2 / 0.28, no KL,
# token-mean, Eq. 2, L = 3, alpha = 0.35), those of a method in recipe/sage/config/method. DRY_RUN=1 prints them all.
set -euo pipefail
# shellcheck source=examples/common_gpu.sh
source "$(dirname "${BASH_SOURCE[0]}")/common_gpu.sh"
# shellcheck disable=SC2034  # all of it is read by launch

MODEL=meta-llama/Llama-3.2-3B-Instruct # paper, settings: models; MODEL_PATH names a copy

SETTINGS=(
  # Data
  data.train_batch_size=128         # paper: batch of 128 prompts
  data.max_prompt_length=2048       # released; a hint has to fit in as well
  data.max_response_length=8192     # paper: main table (2048 elsewhere)
  data.filter_overlong_prompts=True # released; longer prompts are left out, and verl says how many

  # Update
  actor_rollout_ref.actor.ppo_mini_batch_size=64             # paper: counted in prompts, so 2 updates a step
  actor_rollout_ref.actor.optim.lr=1e-6                      # released
  actor_rollout_ref.model.use_remove_padding=True            # released: packed rows
  actor_rollout_ref.model.enable_gradient_checkpointing=True # released
  actor_rollout_ref.actor.use_dynamic_bsz=True               # ours: micro-batches by tokens, whatever the lengths
  actor_rollout_ref.actor.ppo_max_token_len_per_gpu=20480    # ours: two of the longest rows; lower it when out of memory

  # Rollouts
  actor_rollout_ref.rollout.name=vllm                      # paper: verl + vLLM
  actor_rollout_ref.rollout.n=8                            # paper: G = 8
  actor_rollout_ref.rollout.temperature=1.0                # ours: verl's default; hint requests have their own
  actor_rollout_ref.rollout.max_model_len=10240            # ours: prompt and response, and the limit of a hint request; verl takes
                                                           # the model's own, and needs room in the cache for one such row
  actor_rollout_ref.rollout.tensor_model_parallel_size=1   # ours: it fits one GPU
  actor_rollout_ref.rollout.gpu_memory_utilization=0.6     # ours: 48 of 80 GB for vLLM

  # Length of the run, and evaluation (without hints)
  trainer.total_training_steps=500                     # paper
  trainer.total_epochs=1000                            # released: the steps end the run, not the epochs
  trainer.test_freq=50                                 # paper: evaluation every 50 steps, the best average is reported
  trainer.save_freq=50                                 # released: so that the best evaluation can be kept
  actor_rollout_ref.rollout.val_kwargs.do_sample=True
  actor_rollout_ref.rollout.val_kwargs.temperature=0.6 # paper: evaluation
  actor_rollout_ref.rollout.val_kwargs.top_p=0.95      # paper: evaluation
  actor_rollout_ref.rollout.val_kwargs.n=16            # paper: evaluation, 16 samples a problem averaged
)

MEGATRON=( # backend=megatron: sizes, and gradient checkpointing, which it takes from here
  tensor_model_parallel_size=2 # ours
  override_transformer_config.recompute_granularity=full
  override_transformer_config.recompute_method=uniform
  override_transformer_config.recompute_num_layers=1
)

SFT=( # method=sft instead of SETTINGS; all ours, since the paper gives no settings for it
  data.train_batch_size=64
  data.max_length=10240            # prompt and response as above; a longer row ends the run with its length
  data.use_dynamic_bsz=True        # micro-batches by tokens
  data.max_token_len_per_gpu=20480 # lower it when out of memory
  optim.lr=1e-5
  optim.lr_warmup_steps_ratio=0.05
  trainer.total_epochs=3
)

launch "$@"
