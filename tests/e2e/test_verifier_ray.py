r"""The verifier in Ray, where code never runs in a main thread of its own choosing: actors, async actors and tasks."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAIRS = [(rf"\boxed{{{n}+x^{{{n}}}}}", f"x^{{{n}}} + {n + n % 2}") for n in range(8)]
EXPECTED = [n % 2 == 0 for n in range(8)]
SLOW = (r"\boxed{9^{9^{9^9}}}", "17")


def grade_in_ray() -> None:
    import ray

    from recipe.sage.reward import compute_score
    from sage.grading.verifier import MathVerifier, grade

    @ray.remote(num_cpus=0)
    class Worker:
        """As verl's reward worker: an async actor that grades in its loop's threads."""

        async def score(self) -> list[float]:
            results = await asyncio.gather(
                *(asyncio.to_thread(compute_score, "", *pair, {}, verifier="math", workers=1) for pair in PAIRS)
            )
            return [result["acc"] for result in results]

    @ray.remote(num_cpus=0, max_concurrency=4)
    class Threaded:
        def __init__(self) -> None:
            self.verifier = MathVerifier(timeout=1)

        def is_correct(self, response: str, answer: str) -> bool:
            return self.verifier.is_correct(response, answer)

        def trouble(self) -> tuple[int, int]:
            return self.verifier.timeouts, self.verifier.crashes

    @ray.remote(num_cpus=0)
    def task(verifier: MathVerifier) -> list[bool]:
        return grade(verifier, PAIRS)

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    worker, threaded = Worker.remote(), Threaded.remote()
    slow = threaded.is_correct.remote(*SLOW)
    assert ray.get([threaded.is_correct.remote(*pair) for pair in PAIRS]) == EXPECTED
    assert ray.get(slow) is False
    assert ray.get(threaded.trouble.remote()) == (1, 0)
    assert ray.get(worker.score.remote()) == [float(verdict) for verdict in EXPECTED]
    assert ray.get(task.remote(MathVerifier())) == EXPECTED
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_actors_and_tasks_get_the_verdicts_of_the_main_thread() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    code = "from tests.e2e.test_verifier_ray import grade_in_ray; grade_in_ray()"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500
    )
    assert run.returncode == 0, run.stderr[-4000:]
