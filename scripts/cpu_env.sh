# Environment of a run on a CPU; source it. Most variables that are already set are kept.
# shellcheck shell=bash
export VERL_PLATFORM=cpu VLLM_TARGET_DEVICE=cpu
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}             # several processes share the cores
export VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-1} # GiB
export VLLM_CPU_OMP_THREADS_BIND=${VLLM_CPU_OMP_THREADS_BIND:-nobind}
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}
export TQ_NUM_THREADS=${TQ_NUM_THREADS:-1}               # TransferQueue's default of 8 asks for more threads than cores
export TOKENIZERS_PARALLELISM=false PYTHONUNBUFFERED=1 HYDRA_FULL_ERROR=1
export TORCH_COMPILE_DISABLE=${TORCH_COMPILE_DISABLE:-1} # else each engine compiles its sampler first: 10 s and more, for nothing
export RAY_USAGE_STATS_ENABLED=0 RAY_DEDUP_LOGS=0
