#!/usr/bin/env bash
# SAGE (Algorithm 1 of the paper) on Qwen2.5-7B-Instruct, one node of 8 GPUs: Table 1, row SAGE.
# Settings, and what may be set from outside: common_gpu.sh. Further arguments are Hydra overrides and win.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common_gpu.sh"

exec "$PYTHON" -m recipe.sage.main_sage "${COMMON[@]}" sage.schedule=sage "$@"
