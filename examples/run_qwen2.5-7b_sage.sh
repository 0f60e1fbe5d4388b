#!/usr/bin/env bash
# A row of Table 1 on Qwen2.5-7B-Instruct, one node of 8 GPUs. The method, a file name in recipe/sage/config/method, is the
# end of this script's name: run_qwen2.5-7b_grpo.sh and the others are links to this one.
#
#   bash examples/run_qwen2.5-7b_luffy.sh
#   bash examples/run_qwen2.5-7b_scaf-grpo.sh sage.hint_source=teacher.jsonl
#
# Settings, and what may be set from outside: common_gpu.sh. Further arguments are Hydra overrides and win.
set -euo pipefail
METHOD=$(basename "${BASH_SOURCE[0]}" .sh)
METHOD=${METHOD##*_}
source "$(dirname "${BASH_SOURCE[0]}")/common_gpu.sh"

exec "$PYTHON" -m recipe.sage.main_sage "${COMMON[@]}" method="$METHOD" "$@"
