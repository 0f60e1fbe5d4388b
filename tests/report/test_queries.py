import re
from collections import Counter, defaultdict
from pathlib import Path

import duckdb
import pytest

from sage.method.metrics import visit_metrics
from sage.method.records import Action, Decision, Group, Reason, Rollout, Visit
from sage.method.state import VisitHistory
from sage.report import history_table, read_history
from sage.report.measured import measure
from tests.report.test_report import write_run

DOCS = (Path(__file__).parents[2] / "docs/queries.md").read_text()
QUERIES = dict(re.findall(r"```sql\n-- (\w+)\n(.+?)```", DOCS, re.DOTALL))


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "sage", prompts=100, steps=12) / "sage_history.jsonl"


@pytest.fixture(scope="module")
def visits(history):
    return list(read_history(history))


def ask(name: str, history: Path) -> list[tuple]:
    groups = history_table(history)  # noqa: F841  (DuckDB finds it by its name)
    return duckdb.sql(QUERIES[name].replace("sage_history.jsonl", str(history))).fetchall()


def test_the_table_has_every_group_and_its_tokens_by_fate(history, visits):
    groups = history_table(history)
    assert groups.num_rows == sum(len(e.visit.groups) for e in visits)
    assert sorted(set(groups.column_names)) == sorted(re.findall(r"`(\w+)`", table_of_columns()))
    frame = groups.to_pandas()
    for step, own in frame.groupby("step"):
        metrics = visit_metrics([e.visit for e in visits if e.step == step], [], 3)
        for hinted, kind in ((False, "plain"), (True, "hinted")):
            for kept, fate in ((True, "accepted"), (False, "discarded")):
                tokens = own[(own.hint.notna() == hinted) & (own.kept == kept)].tokens.sum()
                assert tokens == metrics[f"sage/tokens/{kind}_{fate}"]


def table_of_columns() -> str:
    rows = re.search(r"\| column \| meaning \|\n(.+?)\n\n", DOCS, re.DOTALL)[1]
    return "\n".join(row.split("|")[1] for row in rows.splitlines())


def test_references_and_scaffolds_count_as_in_the_metrics(tmp_path):
    rollouts = tuple(Rollout(float(k == 7), k == 7, 10) for k in range(8))
    luffy = Group(0, (*rollouts[:7], Rollout(1.0, True, 99, reference=True)))
    plain, hinted = Group(0, (rollouts[0],) * 8), Group(1, rollouts, "look")
    rows = (*((0, k) for k in range(7)), (1, 7))
    visits = {
        "a": Visit("p", (0,), (luffy,), Decision(Action.ACCEPT, Reason.SINGLE_GROUP, 0)),
        "b": Visit("p", (0, 1), (plain, hinted), Decision(Action.SCAFFOLD, Reason.SOLVED, 1), rows=rows),
    }
    VisitHistory(tmp_path / "h.jsonl").append(1, visits)
    frame = history_table(tmp_path / "h.jsonl").to_pandas()
    assert frame.rollouts.tolist() == [7, 8, 8] and frame.correct.tolist() == [0, 0, 1]
    assert frame.kept.tolist() == [True, True, False] and frame.dead.tolist() == [False, True, False]
    metrics = visit_metrics(visits.values(), [], 3)
    assert frame[frame.kept].tokens.sum() == metrics["sage/tokens/plain_accepted"] == 150
    found = measure(read_history(tmp_path / "h.jsonl"))
    assert {(b.level, b.group_size) for b in found} == {(0, 7), (1, 8)}, "without LUFFY's reference"


def test_visits_of_a_prompt_are_numbered(history, visits):
    frame = history_table(history).to_pandas()
    for _, own in frame.groupby("prompt_id"):
        assert sorted(own.visit.unique()) == list(range(own.uid.nunique()))
    assert frame[frame.place == 0].uid.tolist() == [e.uid for e in visits]


def test_only_level_3(history, visits):
    solved = defaultdict(set)
    for e in visits:
        solved[e.visit.prompt_id] |= {g.level for g in e.visit.groups if g.successes}
    expected = {prompt_id for prompt_id, levels in solved.items() if levels == {3}}
    assert expected and {row[0] for row in ask("only_level_3", history)} == expected


def test_success_by_third(history, visits):
    good, all_ = Counter(), Counter()
    for e in visits:
        for g in e.visit.groups:
            key = (1 + (e.step - 1) // 4, g.level)
            good[key] += g.successes
            all_[key] += len(g.rollouts)
    found = {(third, level): success for third, level, success, _ in ask("success_by_third", history)}
    assert found == pytest.approx({key: good[key] / all_[key] for key in all_})
    assert {third for third, _ in found} == {1, 2, 3}


def test_discarded_tokens(history, visits):
    expected: Counter[str] = Counter()
    for e in visits:
        expected[e.visit.prompt_id] += sum(g.tokens for g in e.visit.groups if g is not e.visit.accepted)
    rows = ask("discarded_tokens", history)
    assert {row[0]: row[1] for row in rows} == dict(expected)
    assert all(share == pytest.approx(discarded / tokens, abs=6e-4) for _, discarded, tokens, share in rows)


def test_requests(history, visits):
    expected = Counter((r.level, str(r.outcome)) for e in visits for r in e.visit.requests)
    assert {(level, outcome): n for level, outcome, n, _ in ask("requests", history)} == dict(expected)
    assert len(QUERIES) == 4
