#!/usr/bin/env bash
# The SFT row of Table 1: verl's SFT trainer on the reference solutions of the training file (reference_response where a row has
# one). Called by the links <model>/run_sft[_megatron].sh; what may be set from outside: common_gpu.sh. The trainer runs on Ray
# like the other methods, so several nodes need RAY_ADDRESS.
#
#   TRAIN_FILE=train.parquet bash examples/qwen2.5-7b/run_sft.sh
#
# "paper" is arXiv 2602.03143, which gives no settings for SFT; those below are ours. The merged model, to be evaluated like the
# others, lies in $OUTPUT_DIR/checkpoints/global_step_*/huggingface (with Megatron: model/huggingface).
set -euo pipefail
# shellcheck source=examples/common_gpu.sh
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/common_gpu.sh"

SETTINGS=(
  data.train_files="$OUTPUT_DIR/sft.parquet"
  data.train_batch_size=64          # ours
  data.max_length=10240             # ours: prompt and response as in the other methods; a longer row ends the run with its length
  data.use_dynamic_bsz=True         # ours: micro-batches by tokens
  data.max_token_len_per_gpu=20480  # ours: lower it when out of memory

  optim.lr=1e-5                     # ours
  optim.lr_warmup_steps_ratio=0.05  # ours
  trainer.total_epochs=3            # ours
  trainer.save_freq=after_each_epoch
  "checkpoint.save_contents=[model,optimizer,extra,hf_model]"

  model.path="$MODEL_PATH"
  model.use_remove_padding=True
  model.enable_gradient_checkpointing=True

  trainer.n_gpus_per_node="$N_GPUS"
  trainer.nnodes="$NNODES"
  trainer.logger="$LOGGER"
  trainer.project_name=sage
  trainer.experiment_name="$EXPERIMENT"
  trainer.default_local_dir="$OUTPUT_DIR/checkpoints"
)
if [[ $ENGINE == megatron ]]; then
  SETTINGS+=(
    engine=megatron optim=megatron
    "engine.tensor_model_parallel_size=$MEGATRON_TP"
    engine.override_transformer_config.recompute_granularity=full
    engine.override_transformer_config.recompute_method=uniform
    engine.override_transformer_config.recompute_num_layers=1
  )
else
  SETTINGS+=(
    engine.strategy=fsdp2
    ++model.override_config.attn_implementation=flash_attention_2
  )
fi

if [[ $PREVIEW != 0 ]]; then
  echo "PREVIEW=1 is for the methods with rollouts; see the rows of sft.parquet that python -m sage.data.sft writes" >&2
  exit 2
fi
if [[ $DRY_RUN != 0 ]]; then
  exec "$PYTHON" -m verl.trainer.sft_trainer_ray "${SETTINGS[@]}" "$@" --cfg job
fi
"$PYTHON" -m sage.data.sft --data "$TRAIN_FILE" --out "$OUTPUT_DIR/sft.parquet"
exec "$PYTHON" -m verl.trainer.sft_trainer_ray "${SETTINGS[@]}" hydra.run.dir="$OUTPUT_DIR/hydra" "$@"
