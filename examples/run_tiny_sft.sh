#!/usr/bin/env bash
# The SFT baseline on an embedded task, on a CPU: verl's SFT trainer on the reference solutions, then the same test without hints as
# for the other methods.
#
#   bash examples/run_tiny_sft.sh
#
# TASK, STEPS, SEED and OUTPUT are those of run_tiny_cpu.sh. Further arguments go to the SFT trainer.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=examples/common_tiny.sh
source examples/common_tiny.sh
folder="$OUTPUT/sft"
rm -rf "$folder"
mkdir -p "$folder"
begin=$SECONDS
base=$("$PYTHON" -c "from sage.toy.embedded.tasks import base_model; print(base_model('$TASK'))")
"$PYTHON" -m sage.data.sft --data "$TINY_DATA/train.parquet" --out "$folder/sft.parquet"

echo "== sft: $STEPS steps, seed $SEED (log: $folder/train.log)"
VERL_FILE_LOGGER_PATH="$folder/sft_metrics.jsonl" "$PYTHON" -m torch.distributed.run --standalone --nproc-per-node 1 \
    -m verl.trainer.sft_trainer \
    data.train_files="$folder/sft.parquet" data.train_batch_size=128 data.num_workers=0 data.max_length=128 \
    model.path="$base" model.use_remove_padding=false model.enable_gradient_checkpointing=false \
    +model.override_config.attn_implementation=sdpa \
    engine.strategy=fsdp2 engine.model_dtype=fp32 engine.use_torch_compile=false \
    "+engine.mixed_precision={param_dtype: fp32, reduce_dtype: fp32, buffer_dtype: fp32}" \
    optim.lr=1e-3 optim.weight_decay=0.0 "checkpoint.save_contents=[hf_model]" \
    trainer.default_local_dir="$folder/checkpoints" "trainer.logger=[console,file]" \
    trainer.total_epochs=1000 trainer.total_training_steps="$STEPS" trainer.seed="$SEED" trainer.device="$DEVICE" \
    "$@" >"$folder/train.log" 2>&1 || { tail -n 40 "$folder/train.log" && exit 1; }

echo $((SECONDS - begin)) >"$folder/wall_seconds"

echo "== sft: no-hint test"
"$PYTHON" -m sage.toy.embedded.held_out --task "$TASK" --model "$folder/checkpoints/global_step_$STEPS/huggingface" \
    --data "$TINY_DATA/test.parquet" --out "$folder/test"
