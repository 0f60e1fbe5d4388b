#!/usr/bin/env bash
# Trains a model with a method: a row of Table 1. Called by a link in a model's folder, whose name says which method (a file in
# recipe/sage/config/method) and, at its end, whether through Megatron:
#
#   TRAIN_FILE=train.parquet VAL_FILE=val.parquet bash examples/qwen2.5-7b/run_sage.sh
#   TRAIN_FILE=.. VAL_FILE=.. bash examples/llama-3.2-3b/run_scaf-grpo.sh sage.hint_source=teacher.jsonl
#   DRY_RUN=1 TRAIN_FILE=.. VAL_FILE=.. bash examples/qwen3-4b/run_sage-light_megatron.sh
#
# "paper" is arXiv 2602.03143, experimental settings; "released" its released scripts; "ours" what neither says. Values equal to
# verl's default are stated where a run depends on them. What all methods share beside these lies in
# recipe/sage/config/sage.yaml (clipping 0.2 / 0.28, no KL, token-mean, Eq. 2, L = 3, alpha = 0.35), what a method changes in
# recipe/sage/config/method; DRY_RUN=1 prints it all. What may be set from outside: common_gpu.sh. A model's own: its model.sh.
set -euo pipefail
# shellcheck source=examples/common_gpu.sh
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/common_gpu.sh"

SETTINGS=(
  method="$method"

  # Data
  data.train_files="$TRAIN_FILE"
  data.val_files="$VAL_FILE"
  data.train_batch_size=128         # paper: batch of 128 prompts
  data.max_prompt_length=2048       # released; a hint has to fit in as well
  data.max_response_length=8192     # paper: main table (2048 elsewhere: run_hard_prompts.sh)
  data.filter_overlong_prompts=True # released; longer prompts are left out, and verl says how many

  # Update
  actor_rollout_ref.actor.ppo_mini_batch_size=64 # paper: counted in prompts, so 2 updates a step
  actor_rollout_ref.actor.optim.lr=1e-6          # released

  # Rollouts
  actor_rollout_ref.rollout.name=vllm           # paper: verl + vLLM
  actor_rollout_ref.rollout.n="$GROUP"          # paper: G, 8 or 4 by model
  actor_rollout_ref.rollout.temperature=1.0     # ours: verl's default; hint requests have their own
  actor_rollout_ref.rollout.max_model_len=10240 # ours: prompt and response, and the limit of a hint request. By default verl
                                                # takes the model's own, up to 262144 tokens, and needs room for one such row
  actor_rollout_ref.rollout.tensor_model_parallel_size="$ROLLOUT_TP"
  actor_rollout_ref.rollout.gpu_memory_utilization="$ROLLOUT_GPU_MEMORY"

  # Length of the run, and evaluation (without hints)
  trainer.total_training_steps=500                     # paper
  trainer.total_epochs=1000                            # released: the steps end the run, not the epochs
  trainer.test_freq=50                                 # paper: evaluation every 50 steps, the best average is reported
  trainer.save_freq=50                                 # released: so that the best evaluation can be kept
  actor_rollout_ref.rollout.val_kwargs.do_sample=True
  actor_rollout_ref.rollout.val_kwargs.temperature=0.6 # paper: evaluation
  actor_rollout_ref.rollout.val_kwargs.top_p=0.95      # paper: evaluation
  actor_rollout_ref.rollout.val_kwargs.n=16            # paper: evaluation, 16 samples a problem averaged

  # How the model is run
  actor_rollout_ref.model.path="$MODEL_PATH"
  actor_rollout_ref.model.use_remove_padding=True            # released: packed rows
  actor_rollout_ref.model.enable_gradient_checkpointing=True # released
  actor_rollout_ref.actor.use_dynamic_bsz=True               # ours: micro-batches by tokens, whatever the lengths
  actor_rollout_ref.actor.ppo_max_token_len_per_gpu=20480    # ours: two of the longest rows; lower it when out of memory

  trainer.n_gpus_per_node="$N_GPUS"
  trainer.nnodes="$NNODES"
  trainer.logger="$LOGGER"
  trainer.project_name=sage
  trainer.experiment_name="$EXPERIMENT"
  trainer.default_local_dir="$OUTPUT_DIR/checkpoints"
)

if [[ $ENGINE == megatron ]]; then
  actor=actor_rollout_ref.actor.megatron
  SETTINGS+=(
    model_engine=megatron
    "$actor.tensor_model_parallel_size=$MEGATRON_TP"
    # gradient checkpointing, which Megatron takes from here
    "$actor.override_transformer_config.recompute_granularity=full"
    "$actor.override_transformer_config.recompute_method=uniform"
    "$actor.override_transformer_config.recompute_num_layers=1"
  )
else
  SETTINGS+=(
    actor_rollout_ref.actor.strategy=fsdp2
    ++actor_rollout_ref.model.override_config.attn_implementation=flash_attention_2
  )
fi

if [[ $DRY_RUN != 0 ]]; then
  exec "$PYTHON" -m recipe.sage.dry_run "${SETTINGS[@]}" "$@"
fi
if [[ $PREVIEW != 0 ]]; then
  exec "$PYTHON" -m recipe.sage.preview "${SETTINGS[@]}" "$@"
fi
exec "$PYTHON" -m recipe.sage.main_sage "${SETTINGS[@]}" hydra.run.dir="$OUTPUT_DIR/hydra" "$@"
