#!/usr/bin/env bash
# Any method on Qwen2.5-7B-Instruct, one node of 8 GPUs: the rows of Table 1.
#
#   METHOD=sage bash examples/run_qwen2.5-7b.sh        METHOD: a name in recipe/sage/config/method
#
# Settings, and what may be set from outside: common_gpu.sh. Further arguments are Hydra overrides and win.
set -euo pipefail
METHOD=${METHOD:-sage}
source "$(dirname "${BASH_SOURCE[0]}")/common_gpu.sh"

exec "$PYTHON" -m recipe.sage.main_sage "${COMMON[@]}" method="$METHOD" "$@"
