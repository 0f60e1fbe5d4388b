# shellcheck shell=bash
# shellcheck disable=SC2034  # read by the scripts that source this file
# Llama-3.2-3B-Instruct: 24 attention heads, 8 of keys and values, up to 131072 tokens.
MODEL_PATH=${MODEL_PATH:-meta-llama/Llama-3.2-3B-Instruct} # paper, settings: models
GROUP=8                                                    # paper: G = 8
ROLLOUT_TP=1                                               # ours: it fits one GPU
ROLLOUT_GPU_MEMORY=0.6                                     # ours: 48 of 80 GB for vLLM
MEGATRON_TP=2                                              # ours
