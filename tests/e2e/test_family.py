"""Methods of other papers, each in a real run that is ended after its first step and resumed."""

import pytest

from sage.hints.prefix import prefix
from sage.method.records import Action
from sage.method.schedule import load_schedule
from sage.toy.embedded.tasks import PROMPTS
from tests.e2e.conftest import Run, check_memory, groups, train_in_two, visits_of

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1300)]
STEPS = 4


def check_rows(run: Run, rows: dict[str, dict], step: int) -> list[int]:
    """Every row was rolled out and trained on in the context that its visit says; the levels of the hinted ones."""
    seen, levels = visits_of(run, step), []
    for uid, group in groups(run, step).items():
        visit = seen[uid]
        plain = rows[visit.prompt_id]["prompt"][-1]["content"]
        assert len(group) == len(visit.rows) == 8
        for row in group:
            number, _ = visit.rows[int(row["uid"].split("_")[1])]
            hint = visit.groups[number].hint
            wanted = plain if hint is None else PROMPTS.hinted_text(plain, rows[visit.prompt_id]["problem"], hint)
            assert row["input"] == wanted
            levels += [] if hint is None else [visit.groups[number].level]
    return levels


@pytest.mark.parametrize("method", ["nurl", "bha", "pope", "questa", "adaprefix"])
def test_a_method_trains_in_the_contexts_it_names_and_resumes(method, tmp_path, small_data, rows):
    run = train_in_two(tmp_path / "run", small_data, f"method={method}", f"trainer.total_training_steps={STEPS}")
    check_memory(run, load_schedule(method)(max_level=3, group_size=8), 1)
    levels = {step: set(check_rows(run, rows, step)) for step in range(1, STEPS + 1)}
    visits = [v for step in range(1, STEPS + 1) for v in visits_of(run, step).values()]
    assert all(data["actor/grad_norm"] > 0 for data in run.metrics.values())
    if method == "nurl":
        mixed = [v for v in visits if v.decision.level]
        assert mixed and all(v.kinds == ("plain", *["hinted"] * 7) and not v.groups[0].successes for v in mixed)
    elif method == "bha":
        assert levels[1] == {1} and any(v.plan == (0,) for v in visits), "1/4, 1/2 and 3/4 of the later visits"
    elif method == "questa":
        assert levels == {1: {2}, 2: {2}, 3: {1}, 4: {1}}
    elif method == "pope":
        assert {v.plan for v in visits} == {(0,), (0, 1)}
        assert any(v.decision.action is Action.GIVE_UP or v.decision.level for v in visits if v.plan == (0, 1))
    elif method == "adaprefix":
        assert len(set().union(*levels.values())) > 1, "as hard as the prompt is"
    if method in ("pope", "questa", "adaprefix"):
        shown = [(v.prompt_id, g) for v in visits for g in v.groups if g.hint]
        assert shown
        for prompt_id, group in shown:
            parts = [prefix(rows[prompt_id]["solution"], group.level, 3, PROMPTS.solution_step, n) for n in (0, 1)]
            assert group.hint in parts


def test_self_distillation_teaches_without_rewards(tmp_path, small_data, rows):
    run = train_in_two(tmp_path / "run", small_data, "method=opsd", "trainer.total_training_steps=2")
    assert not check_rows(run, rows, 1) and not check_rows(run, rows, 2)
    for data in run.metrics.values():  # of what came after the resume
        assert data["sage/distillation/rows"] == data["sage/prompts"] * 8
        assert data["sage/distillation/kl"] > 0 and data["actor/grad_norm"] > 0


def test_a_success_counts_less_the_more_it_depends_on_its_hint(tmp_path, small_data, rows):
    run = train_in_two(tmp_path / "run", small_data, "method=sage-reliance", "trainer.total_training_steps=2")
    assert check_rows(run, rows, 1) and check_rows(run, rows, 2)
    data = run.metrics[2]
    relied = [value for key, value in data.items() if key.startswith("sage/reliance/level_")]
    assert max(relied) > 0 and 0 < data["sage/reliance/weight"] < 1 and data["actor/grad_norm"] > 0
