r"""The pool of grading processes: slow answers are cut off by their CPU time; neighbours and load change nothing."""

import asyncio
import gc
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from recipe.sage import reward
from sage.grading.pool import GradingPool, available_cores
from sage.grading.verifier import MathVerifier, Verdict, grade

SLOW = {
    "tower": "9^{9^{9^9}}",
    "factorial": "(10^7)!",
    "sum": r"\sum_{k=1}^{10000} \frac{1}{k^k}",
    "50,000 terms": "+".join(f"x^{{{k}}}" for k in range(50_000)),
    "800 terms": "+".join("abcdefgh"[k % 8] for k in range(800)),
    "powers": "((9^9)^9)^{9^9}",
}
SAME = ("x^2+1", "1+x^2")
OTHER = ("x^2+1", "1+x^3")


@pytest.fixture(scope="module")
def shared() -> Iterator[MathVerifier]:
    verifier = MathVerifier(timeout=1, processes=2)
    yield verifier
    verifier.close()


@pytest.fixture
def verifier(shared: MathVerifier) -> MathVerifier:
    """Has an idle process, and counts from zero."""
    assert shared.is_correct(rf"\boxed{{{SAME[0]}}}", SAME[1])
    shared.timeouts = shared.crashes = 0
    return shared


def _response(pair: tuple[str, str]) -> str:
    return rf"\boxed{{{pair[0]}}}"


def _grade(verifier: MathVerifier, pair: tuple[str, str]) -> bool:
    return verifier.is_correct(_response(pair), pair[1])


def test_one_caller_has_one_process() -> None:
    pool = GradingPool(4, timeout=5)
    assert pool.process_ids == []
    assert [pool.compare(*pair) for pair in (SAME, OTHER) * 4] == [True, False] * 4
    assert len(pool.process_ids) == 1
    pool.close()


def test_the_pool_grows_with_its_callers_up_to_its_size() -> None:
    pool = GradingPool(2, timeout=5)
    with ThreadPoolExecutor(8) as threads:
        verdicts = list(threads.map(lambda pair: pool.compare(*pair), [SAME, OTHER] * 30))
    assert verdicts == [True, False] * 30
    assert len(pool.process_ids) == 2
    pool.close()
    assert pool.process_ids == []
    assert pool.compare(*SAME)


def test_processes_end_with_their_pool() -> None:
    pool = GradingPool(1, timeout=5)
    assert pool.compare(*SAME)
    (process_id,) = pool.process_ids
    del pool
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)


def test_processes_end_with_their_owner() -> None:
    code = (
        "import os, signal; from sage.grading.pool import GradingPool; pool = GradingPool(1, 5);"
        "pool.compare('x', 'x+1');"
        "print(*pool.process_ids, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    owner = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    process_id = int(owner.stdout)
    deadline = time.monotonic() + 20
    while _runs(process_id):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(process_id: int) -> bool:
    try:
        with open(f"/proc/{process_id}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_slow_answer_is_cut_off_and_its_neighbours_are_graded(verifier: MathVerifier) -> None:
    slow = threading.Thread(target=_grade, args=(verifier, (SLOW["tower"], "17")))
    slow.start()
    assert [_grade(verifier, pair) for pair in (SAME, OTHER) * 20] == [True, False] * 20
    slow.join()
    assert (verifier.timeouts, verifier.crashes) == (1, 0)
    assert _grade(verifier, SAME) and not _grade(verifier, OTHER)


@pytest.mark.slow
@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
def test_every_known_slow_answer_is_bounded(verifier: MathVerifier, slow: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert not _grade(verifier, (slow, "17"))
    assert not _grade(verifier, ("17", slow))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10, "two limits and two starts"
    assert verifier.crashes == 0
    assert _grade(verifier, SAME)


def test_time_without_a_core_does_not_count(verifier: MathVerifier) -> None:
    """A stopped process is one that a busy machine leaves without a core for longer than the whole time limit."""
    process_ids = verifier._pool.process_ids
    for process_id in process_ids:
        os.kill(process_id, signal.SIGSTOP)
        threading.Timer(1.5, os.kill, (process_id, signal.SIGCONT)).start()
    assert _grade(verifier, SAME)
    assert (verifier.timeouts, verifier.crashes) == (0, 0)
    assert sorted(verifier._pool.process_ids) == sorted(process_ids)


def test_a_process_that_never_answers_is_killed() -> None:
    pool = GradingPool(1, timeout=0.05)  # of CPU; 1 s by the clock
    pool._give_back(pool._borrow())
    os.kill(pool.process_ids[0], signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        pool.compare(*SAME)
    assert pool.process_ids == []
    pool.close()


def test_dead_processes_are_replaced_and_the_comparison_repeated(verifier: MathVerifier) -> None:
    for process_id in verifier._pool.process_ids:
        os.kill(process_id, signal.SIGKILL)
    assert [_grade(verifier, pair) for pair in (SAME, OTHER, SAME)] == [True, False, True]
    assert (verifier.timeouts, verifier.crashes) == (0, 0)


def test_an_answer_that_ends_every_process_is_a_crash(verifier: MathVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sage.grading.pool._Child.compare", _die)
    assert verifier.judge(_response(SAME), SAME[1]) == Verdict(False, "crash")
    assert (verifier.timeouts, verifier.crashes) == (0, 1)
    monkeypatch.setattr("sage.grading.pool._Child.compare", _hang)
    assert verifier.judge(_response(SAME), SAME[1]) == Verdict(False, "timeout")
    assert (verifier.timeouts, verifier.crashes) == (1, 1)
    monkeypatch.undo()
    assert _grade(verifier, SAME)


def test_a_subclass_decides_what_is_correct_and_judge_follows(verifier: MathVerifier) -> None:
    class Never(MathVerifier):
        def is_correct(self, response: str, answer: str) -> bool:
            return False

    assert verifier.judge(_response(SAME), SAME[1]) == Verdict(True)
    assert Never().judge(_response(SAME), SAME[1]) == Verdict(False)


def _hang(*_: object) -> bool:
    raise TimeoutError


def _die(*_: object) -> bool:
    raise ChildProcessError


def test_an_interrupted_caller_leaves_no_verdict_behind(
    verifier: MathVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("sage.grading.pool.Connection.recv", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _grade(verifier, SAME)
    monkeypatch.undo()
    assert [_grade(verifier, pair) for pair in (OTHER, SAME, OTHER)] == [False, True, False]


def test_a_forked_process_starts_its_own(verifier: MathVerifier) -> None:
    reader, writer = os.pipe()
    if (forked := os.fork()) == 0:
        try:
            verdicts = [_grade(verifier, pair) for pair in (SAME, OTHER)]
            os.write(writer, repr(verdicts).encode())
            verifier.close()
        finally:
            os._exit(0)  # never a second pytest
    here = [_grade(verifier, pair) for pair in (SAME, OTHER) * 5]
    os.waitpid(forked, 0)
    assert os.read(reader, 100) == b"[True, False]"
    assert here == [True, False] * 5
    os.close(reader), os.close(writer)


def test_other_users_of_the_alarm_signal_are_left_alone(verifier: MathVerifier) -> None:
    rang: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rang.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    assert not _grade(verifier, (SLOW["tower"], "17"))
    signal.signal(signal.SIGALRM, before)
    assert rang == [signal.SIGALRM]


def test_32_threads_get_the_verdicts_of_one() -> None:
    verifier = MathVerifier()
    pairs = [(rf"\boxed{{{n}+x^{{{n % 9}}}}}", f"x^{{{n % 9}}} + {n + n % 2}") for n in range(64)]
    expected = [n % 2 == 0 for n in range(64)]
    with ThreadPoolExecutor(32) as threads:
        assert list(threads.map(verifier.is_correct, *zip(*pairs, strict=True))) == expected
    assert grade(verifier, pairs) == expected
    assert grade(verifier, []) == []
    assert 1 <= len(verifier._pool.process_ids) <= available_cores()
    assert (verifier.timeouts, verifier.crashes) == (0, 0)
    verifier.close()


def test_a_loop_off_the_main_thread_can_await_verdicts(verifier: MathVerifier) -> None:
    async def grade_all() -> list[bool]:
        waits = [asyncio.to_thread(_grade, verifier, pair) for pair in (SAME, OTHER) * 10]
        return await asyncio.gather(*waits)

    found: list[list[bool]] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(grade_all())))
    thread.start()
    thread.join()
    assert found == [[True, False] * 10]


@pytest.mark.parametrize(("cores", "workers", "processes"), [(2, 8, 1), (12, 8, 2), (64, 8, 8), (64, 1, 64)])
def test_reward_workers_divide_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, processes: int
) -> None:
    monkeypatch.setattr(reward, "available_cores", lambda: cores)
    verifier = reward._verifier.__wrapped__("math", workers)
    assert isinstance(verifier, MathVerifier)
    assert verifier._settings[2] == processes
