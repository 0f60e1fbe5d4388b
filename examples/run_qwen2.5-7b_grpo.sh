#!/usr/bin/env bash
# GRPO, the same run without hints, on Qwen2.5-7B-Instruct, one node of 8 GPUs: Table 1, row GRPO.
# Settings, and what may be set from outside: common_gpu.sh. Further arguments are Hydra overrides and win.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common_gpu.sh"

exec "$PYTHON" -m recipe.sage.main_sage "${COMMON[@]}" sage.schedule=grpo "$@"
