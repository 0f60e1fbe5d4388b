"""The embedded world on one GPU, in an environment of requirements/gpu.lock: ``python -m pytest -m gpu``."""

import json
import os
import subprocess
import sys

import pytest
import torch

from tests.e2e.conftest import LIMIT, ROOT

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(2 * LIMIT)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_sage_trains_on_a_gpu_and_the_actor_sees_what_the_engine_saw(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "VERL_PLATFORM"}
    environment |= {"DEVICE": "cuda", "PYTHON": sys.executable, "METHODS": "sage", "STEPS": "2"}
    environment["OUTPUT"] = str(tmp_path)
    subprocess.run(["bash", "examples/run_tiny_cpu.sh"], cwd=ROOT, env=environment, check=True, timeout=LIMIT)
    run = json.loads((tmp_path / "summary.json").read_text())["methods"]["sage"]
    assert run["steps"] == 2 and run["tokens"]["hinted_accepted"] > 0
    assert run["base"]["easy"] > 0.8 and run["final"]["easy"] > 0.8
    assert max(run["probs_diff_max"].values()) < 0.05
