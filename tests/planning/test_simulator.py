"""The simulator: nothing is lost or invented, decisions are the worker's, and the engine keeps its clock."""

import asyncio
import itertools
import json
import random
import runpy
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sage.planning.simulator.engine import Cluster, SimulatedEngine, StepTimes, VirtualLoop
from sage.planning.simulator.measured import Measured, middle
from sage.planning.simulator.simulate import Machine, earlier_visits, lower_bound, simulate
from sage.planning.simulator.strategies import STRATEGIES, Kind, Request, same_decisions
from sage.planning.simulator.world import Lengths, World

RECORDED = Path(__file__).parents[2] / "benchmarks" / "results" / "rollout_schedule.json"
TIMES = StepTimes(((1, 0.010), (8, 0.014), (32, 0.020)), 1e-5, 1e-4)
WORLD = World(16, 4, 0.4, Lengths(30, 0.8, 120), Lengths(20, 0.5, 60))
MACHINE = Machine(TIMES, 2, 16)
EXACT = ("barrier-unresolved", "sage", "sage-priority")
"""Algorithm 1, and no token more."""

worlds = st.builds(
    World,
    prompts=st.integers(1, 20),
    group_size=st.integers(1, 8),
    collapse=st.floats(0, 1),
    lengths=st.just(Lengths(20, 1.0, 200)),
    hint_lengths=st.just(Lengths(20, 0.5, 60)),
    rescue=st.floats(0, 1),
    max_level=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
machines = st.builds(Machine, st.just(TIMES), st.integers(1, 4), st.integers(1, 40))


def generate(requests, times=TIMES, slots=4, **options):
    """Finish times of requests that are all there at the start, and the engine."""
    loop = VirtualLoop()
    engine = SimulatedEngine(loop, times, slots, **options)

    async def one(request):
        await engine.generate(request)
        return loop.time()

    async def run():
        return await asyncio.gather(*map(one, requests))

    try:
        return loop.run_until_complete(run()), engine
    finally:
        loop.close()


def request(tokens, context=10, kind=Kind.PLAIN, priority=0):
    return Request(0, kind, 0, 0, context, tokens, priority)


@settings(max_examples=20)
@given(worlds, machines)
def test_tokens_are_those_of_algorithm_1_and_no_schedule_beats_the_bound(world, machine):
    bound = lower_bound(world, machine)
    for name in EXACT:
        result = simulate(world, STRATEGIES[name], machine)
        assert sum(result.tokens.values()) == bound.tokens and result.wasted == 0
        assert result.makespan >= bound.makespan * (1 - 1e-9)


@settings(max_examples=15)
@given(worlds, machines)
@example(replace(WORLD, prompts=1, group_size=1), replace(MACHINE, engines=4))  # engines without a request
def test_every_way_of_running_algorithm_1_takes_the_same_decisions(world, machine):
    visits = simulate(world, STRATEGIES["sage"], machine).visits
    for name in ("barrier-whole", "barrier-unresolved", "sage-patience", "sage-priority", "sage-auto"):
        assert same_decisions(simulate(world, STRATEGIES[name], machine).visits, visits), name


def test_decisions_follow_from_the_outcomes():
    for prompt, visit in enumerate(simulate(WORLD, STRATEGIES["sage"], MACHINE).visits):
        tried = [group.level for group in visit.groups]
        assert tried == list(range(min(WORLD.solved_from[prompt], WORLD.max_level) + 1))
        assert visit.accepted.all_fail == (WORLD.solved_from[prompt] > WORLD.max_level)


def test_the_collapse_rate_is_exact_and_levels_stay_from_visit_to_visit():
    world = World(40, 4, 0.35, WORLD.lengths, WORLD.hint_lengths)
    assert sum(level > 0 for level in world.solved_from) == 14
    assert replace(world, visit=3).solved_from == world.solved_from
    lengths = {replace(world, visit=v).tokens(0, 0, 0) for v in range(20)}
    assert len(lengths) > 1
    with pytest.raises(ValueError, match="collapse"):
        replace(world, collapse=1.2)


def test_the_seed_decides_everything():
    first, again = (simulate(WORLD, STRATEGIES["sage-patience"], MACHINE) for _ in range(2))
    assert (first.makespan, first.tokens, first.occupancy) == (again.makespan, again.tokens, again.occupancy)
    assert simulate(replace(WORLD, seed=1), STRATEGIES["sage-patience"], MACHINE).makespan != first.makespan


@pytest.mark.parametrize("name", STRATEGIES)
def test_time_scales_with_the_steps_and_is_all_accounted_for(name):
    # a power of two: no rounding, which would decide between events at the same time
    slow = StepTimes(tuple((b, 4 * t) for b, t in TIMES.decode), 4 * TIMES.prefill_token, 4 * TIMES.request)
    result = simulate(WORLD, STRATEGIES[name], MACHINE)
    assert simulate(WORLD, STRATEGIES[name], replace(MACHINE, times=slow)).makespan == pytest.approx(
        4 * result.makespan
    )
    assert 0 < sum(result.shares.values()) <= 1 + 1e-9
    flat = replace(MACHINE, times=StepTimes(((1, 0.01),), 0.0))
    result = simulate(WORLD, STRATEGIES[name], flat)
    slot_seconds = sum(result.occupancy) / 10 * result.makespan * flat.engines * flat.slots
    assert slot_seconds == pytest.approx(0.01 * (sum(result.tokens.values()) + result.wasted))


def test_more_failures_cost_more_and_the_whole_batch_most():
    cost = [simulate(replace(WORLD, collapse=c), STRATEGIES["sage"], MACHINE) for c in (0.0, 0.25, 0.5, 1.0)]
    assert [sum(r.tokens.values()) for r in cost] == sorted(sum(r.tokens.values()) for r in cost)
    grpo = simulate(WORLD, STRATEGIES["grpo"], MACHINE)
    assert cost[0].makespan == simulate(replace(WORLD, collapse=0.0), STRATEGIES["grpo"], MACHINE).makespan
    whole = simulate(WORLD, STRATEGIES["barrier-whole"], MACHINE)
    assert whole.tokens[Kind.REPEATED] > 0 and whole.makespan > 2 * grpo.makespan


def test_patience_shortens_the_phase_for_tokens_that_are_counted():
    ample = replace(MACHINE, slots=1000)
    waits, early = (simulate(WORLD, STRATEGIES[name], ample) for name in ("sage", "sage-patience"))
    assert early.makespan < waits.makespan
    extra = sum(early.tokens.values()) + early.wasted - sum(waits.tokens.values())
    assert extra >= 0 and early.tokens[Kind.PLAIN] == waits.tokens[Kind.PLAIN]


def test_auto_begins_what_the_last_visits_foretell_at_once():
    ample = replace(MACHINE, slots=1000)
    steady = replace(WORLD, prompts=64)
    waits, early, auto = (simulate(steady, STRATEGIES[n], ample) for n in ("sage", "sage-patience", "sage-auto"))
    assert auto.makespan < early.makespan < waits.makespan
    lost = [sum(r.tokens.values()) + r.wasted - sum(waits.tokens.values()) for r in (auto, early)]
    assert 0 <= lost[0] < 0.05 * sum(waits.tokens.values())
    unsteady = replace(steady, steady=0.0)
    known, unknown = (simulate(world, STRATEGIES["sage-auto"], ample) for world in (steady, unsteady))
    assert sum(v.begun_early for v in known.visits if v.accepted.level == 0) < sum(
        v.begun_early for v in unknown.visits if v.accepted.level == 0
    ), "what is begun for nothing"


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name.endswith("-auto")])
def test_every_schedule_that_climbs_goes_with_auto(name):
    auto = STRATEGIES[name]
    waits = replace(auto, name="waits", patience=1.0)
    idle = Machine(StepTimes(((1, 0.01),), 0.0), 2, 1000)  # nothing waits, and no sequence slows down another
    world = replace(WORLD, prompts=64, steady=0.5)
    early, late = simulate(world, auto, idle), simulate(world, waits, idle)
    assert same_decisions(early.visits, late.visits)
    assert early.makespan < late.makespan and sum(visit.begun_early for visit in early.visits) > 0
    steady = replace(world, steady=1.0)
    assert simulate(steady, auto, idle).makespan <= simulate(steady, waits, idle).makespan


def test_unsteady_prompts_change_their_level_and_the_collapse_rate_stays():
    unsteady = [World(40, 4, 0.35, WORLD.lengths, WORLD.hint_lengths, steady=0.5, visit=v) for v in range(20)]
    levels = [world.solved_from for world in unsteady]
    assert all(sum(level > 0 for level in each) == 14 for each in levels)
    again = [a > 0 for first, then in itertools.pairwise(levels) for b, a in zip(first, then, strict=True) if b]
    assert 0.4 < sum(again) / len(again) < 0.65, "0.5 x 0.5 that stay so, and 0.35 of the others: 0.51"


def test_earlier_visits_make_the_plans():
    plans = earlier_visits(WORLD, STRATEGIES["sage-light"], 2)
    assert all(len(plan.levels) == 1 for plan in plans) and {plan.levels[0] for plan in plans} == {0, 1, 2}
    plans = earlier_visits(WORLD, STRATEGIES["sage"], 1)
    assert {plan.levels for plan in plans} == {(0, 1, 2, 3)} and {plan.number for plan in plans} == {1}
    hard = max(range(16), key=lambda p: plans[p].last_level)
    assert WORLD.solved_from[hard] == max(WORLD.solved_from)


def test_an_engine_joins_at_step_ends_and_serves_in_order():
    times = StepTimes(((1, 1.0), (2, 1.5)), 0.0)
    done, _ = generate([request(2), request(4), request(1)], times, slots=2)
    # two steps of 1.5 with both, the third request takes the free slot for one step, then one step alone
    assert done == pytest.approx([3.0, 3.0 + 1.5 + 1.0, 4.5])
    done, _ = generate([request(2), request(2), request(2, priority=-1)], times, slots=1)
    assert done == pytest.approx([4.0, 6.0, 2.0])


def test_reading_prompts_takes_time_and_is_bounded_per_step():
    times = StepTimes(((1, 1.0),), 0.1)
    assert generate([request(1, context=10)], times)[0] == pytest.approx([2.0])
    done, _ = generate([request(1, context=10), request(1, context=10)], times, batched_tokens=15)
    assert done == pytest.approx([2.0, 4.0])


def test_step_times_are_linear_between_points():
    assert TIMES.step(1) == 0.010 and TIMES.step(8) == 0.014 and TIMES.step(20) == pytest.approx(0.017)
    assert TIMES.step(44) == pytest.approx(0.023)
    shifted = [StepTimes(((1, 0.01 * k), (8, 0.02)), 1e-5 * k) for k in (1, 2, 9)]
    assert middle(shifted).decode == ((1, 0.02), (8, 0.02)) and middle(shifted).prefill_token == 2e-5


def test_an_aborted_request_leaves_its_slot_at_the_end_of_the_step():
    loop = VirtualLoop()
    engine = SimulatedEngine(loop, StepTimes(((1, 1.0),), 0.0), 1)

    async def run():
        doomed = asyncio.create_task(engine.generate(request(100)))
        waiting = asyncio.create_task(engine.generate(request(2)))
        await asyncio.sleep(4.5)
        doomed.cancel()
        await waiting
        return loop.time()

    assert loop.run_until_complete(run()) == pytest.approx(7.0)
    assert engine.wasted == 5
    loop.close()


def test_requests_go_to_the_engine_with_the_fewest_in_flight():
    loop = VirtualLoop()
    engines = [SimulatedEngine(loop, TIMES, 8) for _ in range(3)]
    cluster = Cluster(engines, random.Random(0))

    async def run():
        await asyncio.gather(*(cluster.generate(request(50)) for _ in range(12)))

    loop.run_until_complete(run())
    loop.close()
    assert [max(running for _, running in engine.timeline) for engine in engines] == [4, 4, 4]


def test_a_simulation_that_is_stuck_says_so():
    loop = VirtualLoop()
    with pytest.raises(RuntimeError, match="stuck"):
        loop.run_until_complete(loop.create_future())
    loop.close()


@pytest.mark.parametrize("content", [None, b"", b"{}", b"3", b"[]", b"no json", b"\xff\xfe{", "folder"])
def test_a_file_that_is_no_measurement_is_named(tmp_path, content):
    path = tmp_path / "measured.json"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"measured\.json"):
        Measured.load(path)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("records",), [], "records=.* should have at least 1 item"),
        (("records", 0, "step_times", "decode"), [], "decode=.* should have at least 1 item"),
        (("records", 0, "step_times", "prefill_token"), -1, "prefill_token=-1 should be greater than or equal to 0"),
        (("records", 0, "collapse"), "x", "collapse='x' should be a valid number"),
        (("setting", "slots"), 0, "slots=0 should be greater than or equal to 1"),
        (("setting", "world", "lengths"), 3, "lengths=3 should be an object"),
        (("setting", "world", "rescue"), 2, r"must lie in \[0, 1\]"),
    ],
)
def test_a_measurement_of_wrong_types_is_named(tmp_path, place, value, message):
    data = inner = json.loads(Path(RECORDED).read_text())
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (tmp_path / "measured.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=rf"measured\.json: .*{message}"):
        Measured.load(tmp_path / "measured.json")


@pytest.mark.parametrize(
    "options",
    [
        "--slots 0", "--gpus 0", "--gpus-per-engine 0", "--prompts 0", "--group-size 0", "--seeds 0", "--visits -1",
        "--collapse nan", "--rescue 2", "--steady -0.5", "--patience 2", "--rest nan", "--prefill-token inf",
        "--lengths nan 1 2", "--lengths 20 0.5 inf", "--lengths 20 1e6 40", "--decode 1:-1", "--decode 1:1 1:2",
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(options):
    script = Path(__file__).parents[2] / "scripts/simulate.py"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr("sys.argv", ["simulate.py", *options.split()])
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 2


def test_step_times_that_fall_never_become_negative():
    assert StepTimes(((10, 0.1), (20, 0.01)), 0.0).step(100) == 0.01
    assert StepTimes(((10, 0.01), (20, 1.0)), 0.0).step(1) == 0.01


@pytest.mark.parametrize("name", STRATEGIES)
def test_recorded_makespans_are_reproduced(name):
    """Step times are measured apart from the makespans: nothing is fitted to them."""
    recorded = Measured.load(RECORDED)
    if name not in recorded.records[0]:
        pytest.skip(f"{name} is not in the recorded run")
    for collapse in recorded.collapses:
        measured = median(record[name]["busy"] for _, record in recorded.at(collapse))
        assert recorded.simulated(collapse, name) == pytest.approx(measured, rel=0.15)
