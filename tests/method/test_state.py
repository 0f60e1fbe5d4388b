import json
import random
import time

import pyarrow.parquet as pq
import pytest

from sage.method.records import (
    Action,
    Decision,
    Group,
    HintRequest,
    PromptState,
    Reason,
    RequestOutcome,
    Rollout,
    Visit,
)
from sage.method.schedule import SCHEDULES, Sage, SageCalibrated, Schedule
from sage.method.state import StateStore, VisitHistory


def visit(prompt_id: str, outcomes: list[tuple[int, int]], hint: str = "h") -> Visit:
    """A visit with (level, successes of 4) groups."""
    groups = tuple(
        Group(level, tuple(Rollout(float(i < n), i < n, 3) for i in range(4)), f"{hint}{level}" if level else None)
        for level, n in outcomes
    )
    return Visit(
        prompt_id,
        tuple(level for level, _ in outcomes),
        groups,
        Decision(Action.ACCEPT, Reason.SOLVED, outcomes[-1][0]),
    )


def roll_out(schedule: Schedule, prompt_id: str, plan: tuple[int, ...], rng: random.Random) -> Visit:
    """A visit as the rollout worker makes it, with drawn outcomes."""
    groups: list[Group] = []
    level = plan[0]
    while True:
        size = schedule.rollouts(level)
        correct = [True] * rng.choice([0, 0, 1, size]) + [False] * size
        correct = rng.sample(correct[:size], size)
        rollouts = [Rollout(float(c), c, 3) for c in correct]
        rollouts += [Rollout(1.0, True, 3, reference=True)] * schedule.references
        groups.append(Group(level, tuple(rollouts), f"h{level}" if level else None))
        decision = schedule.after_group(groups[-1], plan)
        if decision.action is not Action.RAISE:
            return Visit(prompt_id, plan, tuple(groups), decision)
        level = decision.level


def draw_step(store: StateStore, rng: random.Random, step: int, steps: int) -> list[Visit]:
    ids = [f"id{i}" for i in rng.sample(range(40), 8)]
    return [roll_out(store.schedule, i, store.plan(i, step, step / steps).levels, rng) for i in ids]


def test_update_counts_every_group():
    store = StateStore(Sage(3))
    store.update([visit("a", [(0, 0), (1, 0), (2, 3)])], 1)
    assert store.prompts["a"] == PromptState(2, 1, (4, 4, 4, 0), (0, 0, 3, 0))
    store.update([visit("a", [(0, 1)])], 1)
    assert store.prompts["a"] == PromptState(0, 2, (8, 4, 4, 0), (1, 0, 3, 0))
    assert store.prompts["a"].ever_solved and store.never_solved() == 0.0


def test_never_solved_is_a_fraction_of_the_visited():
    store = StateStore(Sage(3))
    store.update([visit("a", [(0, 0), (1, 0), (2, 0), (3, 0)]), visit("b", [(0, 4)])], 1)
    assert store.never_solved() == 0.5
    store.update([visit("c", [(0, 0), (1, 3)])], 2)
    assert store.never_solved() == pytest.approx(1 / 3) and store.never_solved_plain() == pytest.approx(2 / 3)


@pytest.mark.parametrize("schedule", [make(max_level=3) for make in SCHEDULES.values()])
def test_state_does_not_depend_on_the_order_of_a_batch(schedule):
    one, two = StateStore(schedule), StateStore(schedule)
    rng, shuffle = random.Random(1), random.Random(2)
    for step in range(30):
        visits = draw_step(one, rng, step, 30)
        one.update(visits, step)
        shuffle.shuffle(visits)
        two.update(visits, step)
    assert one.prompts == two.prompts and one.calibration == two.calibration


@pytest.mark.parametrize("schedule", [make(max_level=3) for make in SCHEDULES.values()])
def test_a_resumed_run_has_the_state_of_an_unbroken_one(schedule, tmp_path):
    unbroken, rng = StateStore(schedule), random.Random(5)
    for step in range(20):
        if step == 10:
            unbroken.save(tmp_path / "state.parquet", {"step": step})
            rng_state = rng.getstate()
        unbroken.update(draw_step(unbroken, rng, step, 20), step)
    resumed, rng = StateStore(schedule), random.Random()
    assert resumed.load(tmp_path / "state.parquet") == {"step": 10}
    rng.setstate(rng_state)
    for step in range(10, 20):
        resumed.update(draw_step(resumed, rng, step, 20), step)
    assert resumed.prompts == unbroken.prompts and resumed.calibration == unbroken.calibration


def test_save_is_atomic_and_reads_back_any_text(tmp_path):
    store = StateStore(Sage(3))
    store.update([visit('π/\n"x"', [(0, 0), (1, 1)], hint="\\frac{\\theta}{\n}")], 1)
    path = tmp_path / "deep" / "state.parquet"
    store.save(path)
    store.save(path)
    again = StateStore(Sage(3))
    again.load(path)
    assert again.prompts == store.prompts
    assert [p.name for p in path.parent.iterdir()] == ["state.parquet"], "no temporary file is left"


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    store = StateStore(Sage(3))
    path = tmp_path / "state.parquet"
    store.update([visit("a", [(0, 1)])], 1)
    store.save(path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail)
    store.update([visit("b", [(0, 1)])], 1)
    with pytest.raises(OSError):
        store.save(path)
    assert path.read_bytes() == before


def test_load_refuses_what_it_does_not_know(tmp_path):
    with pytest.raises(ValueError, match="not written by SAGE"):
        StateStore(Sage(3)).load(tmp_path / "none.parquet")
    StateStore(Sage(2)).save(tmp_path / "two.parquet")
    with pytest.raises(ValueError, match="max_level=2"):
        StateStore(Sage(3)).load(tmp_path / "two.parquet")
    StateStore(Sage(3)).save(tmp_path / "plain.parquet")
    with pytest.raises(ValueError, match="without forecasts"):
        StateStore(SageCalibrated(3)).load(tmp_path / "plain.parquet")


def test_64k_prompts_are_small_and_fast(tmp_path):
    store = StateStore(Sage(3))
    states = (PromptState(i % 4, 5, (40, 8, 8, 8), (i % 9, 1, 2, 3)) for i in range(65536))
    store.prompts = {f"openr1/{i:06d}": state for i, state in enumerate(states)}
    path = tmp_path / "state.parquet"
    begin = time.process_time()
    store.save(path)
    seconds = time.process_time() - begin
    print(f"64k prompts: {path.stat().st_size / 1e6:.1f} MB, {seconds:.2f} s")
    assert path.stat().st_size < 20e6
    assert seconds < 5, "0.2 s on an idle machine"


def test_history_appends_and_drops_what_a_resumed_run_repeats(tmp_path):
    history = VisitHistory(tmp_path / "run" / "history.jsonl")
    history.append(1, {"u1": visit("a", [(0, 1)]), "u2": visit("b", [(0, 0), (1, 2)])})
    size = history.size
    history.append(2, {"u3": visit("a", [(0, 1)])})
    history.truncate(size)
    history.append(2, {"u4": visit("c", [(0, 1)])})
    lines = [json.loads(line) for line in history.path.read_text().splitlines()]
    assert [(line["step"], line["uid"], line["prompt_id"]) for line in lines] == [
        (1, "u1", "a"),
        (1, "u2", "b"),
        (2, "u4", "c"),
    ]
    with pytest.raises(ValueError, match="restore the file"):
        history.truncate(10**9)


def test_a_fresh_run_moves_an_old_history_away(tmp_path):
    history = VisitHistory(tmp_path / "history.jsonl")
    history.start_afresh()
    for _ in range(2):
        history.append(1, {"u": visit("a", [(0, 1)])})
        history.start_afresh()
    assert history.size == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["history.1.jsonl", "history.2.jsonl"]


def test_a_step_keeps_a_few_raw_answers(tmp_path):
    history = VisitHistory(tmp_path / "h.jsonl")
    refused = HintRequest(1, RequestOutcome.PARSE, 3, 0.1, "no hint")
    used = HintRequest(1, RequestOutcome.USED, 3, 0.1)
    group = Group(0, (Rollout(0.0, False, 3),))
    decision = Decision(Action.GIVE_UP, Reason.HINT_MISSING, 0)
    visits = {f"u{i}": Visit("p", (0, 1), (group,), decision, (refused, used, refused)) for i in range(6)}
    for step in (1, 2):
        history.append(step, visits)
    read = [Visit.from_json(line) for line in history.path.read_text().splitlines()]
    kept = [[r.answer for r in visit.requests] for visit in read]
    both, none = ["no hint", None, "no hint"], [None] * 3
    assert kept == ([both] * 4 + [none] * 2) * 2
