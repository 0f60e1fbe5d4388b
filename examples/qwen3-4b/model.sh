# shellcheck shell=bash
# shellcheck disable=SC2034  # read by the scripts that source this file
# Qwen3-4B-Instruct-2507: 32 attention heads, 8 of keys and values, up to 262144 tokens.
MODEL_PATH=${MODEL_PATH:-Qwen/Qwen3-4B-Instruct-2507} # paper, settings: models
GROUP=4                                               # paper: G = 4 for this model
ROLLOUT_TP=1                                          # ours: it fits one GPU
ROLLOUT_GPU_MEMORY=0.6                                # ours: 48 of 80 GB for vLLM
MEGATRON_TP=2                                         # ours
