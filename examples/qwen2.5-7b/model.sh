# shellcheck shell=bash
# shellcheck disable=SC2034  # read by the scripts that source this file
# Qwen2.5-7B-Instruct: 28 attention heads, 4 of keys and values, up to 32768 tokens.
MODEL_PATH=${MODEL_PATH:-Qwen/Qwen2.5-7B-Instruct} # paper, settings: models
GROUP=8                                            # paper: G = 8
ROLLOUT_TP=1                                       # ours: it fits one GPU
ROLLOUT_GPU_MEMORY=0.6                             # ours: 48 of 80 GB for vLLM
MEGATRON_TP=4                                      # ours: with 2, weights, gradients and vLLM need more than 80 GB
