import base64
import gzip
import importlib.util
import json
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sage.method.metrics import visit_metrics
from sage.method.records import Action, Decision, Group, HintRequest, Reason, RequestOutcome, Rollout, Visit
from sage.method.state import VisitHistory
from sage.report.hints import unused_answers
from sage.report.history import Entry, read_history
from sage.report.page import TEMPLATES
from sage.report.prompts import LONG_HINT, prompt_data
from sage.report.runs import Problem, Setup, Source, find_sources, read_dumps, read_setup, training_files
from sage.report.svg import thin, ticks

ROOT = Path(__file__).parents[2]
WORDS = (
    "factor",
    "substitute",
    "the sum",
    "into both sides,",
    "count pairs",
    "with care",
    "use",
    "\\frac{1}{2}",
    "bound",
)


def make_visit(prompt_id: str, skill: float, rng: random.Random, hint_words: int = 8) -> Visit:
    """Algorithm 1 on a prompt whose success probability is ``skill`` and grows by 0.06 a level, G = 8."""
    groups: list[Group] = []
    for level in range(4):
        p = min(1.0, skill + 0.06 * level)
        outcomes = [rng.random() < p for _ in range(8)]
        rollouts = tuple(Rollout(float(o), o, rng.randint(20, 60)) for o in outcomes)
        hint = " ".join(rng.choices(WORDS, k=hint_words)) if level else None
        groups.append(Group(level, rollouts, hint, 1.0))
        if any(outcomes):
            break
    solved = not groups[-1].all_fail
    decision = Decision(
        Action.ACCEPT if solved else Action.GIVE_UP, Reason.SOLVED if solved else Reason.TOP_LEVEL, groups[-1].level
    )
    requests = tuple(HintRequest(g.level, RequestOutcome.USED, 5, 0.1) for g in groups[1:])
    return Visit(prompt_id, (0, 1, 2, 3), tuple(groups), decision, requests)


def write_run(folder: Path, prompts: int = 40, steps: int = 12, batch: int = 10, hint_words: int = 8) -> Path:
    """A run's metrics and history, as the trainer writes them, of prompts in turn that slowly get easier."""
    rng = random.Random(prompts)
    history = VisitHistory(folder / "sage_history.jsonl")
    folder.mkdir(parents=True)
    lines = []
    order = 0
    for step in range(1, steps + 1):
        visits = {}
        for _ in range(batch):
            number, order = order % prompts, order + 1
            skill = (number % 5) / 5 * step / steps
            visits[f"uid-{order}"] = make_visit(f"set/p{number}", skill, rng, hint_words)
        history.append(step, visits)
        data = visit_metrics(visits.values(), [], 3) | {"timing_s/step": 2.0, "timing_s/gen": 1.5}
        data |= {"sage/never_solved": 0.5, "val-core/math/acc/mean@1": step / steps}
        lines.append(json.dumps({"step": step, "data": data}) + "\n")
    (folder / "metrics.jsonl").write_text("".join(lines))
    return folder


def write_data(path: Path, prompts: int) -> Path:
    rows = [
        {"prompt_id": f"set/p{n}", "problem": f"problem {n} </script>", "reward_model": {"ground_truth": "1234"}}
        for n in range(prompts)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


SCRIPT = importlib.util.spec_from_file_location("report_script", ROOT / "scripts/report.py")
report_script = importlib.util.module_from_spec(SCRIPT)
SCRIPT.loader.exec_module(report_script)


def report(*arguments: object) -> int:
    """Run scripts/report.py in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["report.py", *map(str, arguments)])
        return report_script.main()


def unpacked(part: str) -> list[dict]:
    return json.loads(gzip.decompress(base64.b64decode(part)))


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("report")
    write_run(folder / "sage/seed0")
    write_run(folder / "sage/seed1", prompts=30)
    write_run(folder / "mine")
    data = write_data(folder / "train.parquet", 40)
    assert report(folder, "--data", data, "--out", folder / "out/report.html") == 0
    return (folder / "out/report.html").read_text()


def test_the_page_needs_nothing_from_outside(page):
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)=(?!"?#)|url\(|@import|\bfetch\(|https?://|XMLHttpRequest""", page)


def test_every_visit_is_in_the_page(page, tmp_path):
    data = json.loads(re.search(r'id="data">(.+?)</script>', page)[1])
    assert [run["label"] for run in data["runs"]] == ["mine", "SAGE, seed 0", "SAGE, seed 1"]
    parts = re.findall(r'id="part-1-\d+">(.+?)</script>', page)
    prompts = [prompt for part in parts for prompt in unpacked(part)]
    table = data["runs"][1]["table"]
    assert len(prompts) == len(table["id"]) == 40 and sum(table["visits"]) == 120 == len(table["step"])
    entries = list(read_history(write_run(tmp_path / "again") / "sage_history.jsonl"))
    steps = Counter(e.step for e in entries)
    assert Counter(v["s"] for p in prompts for v in p["v"]) == steps
    hints = sorted(g.hint for e in entries for g in e.visit.groups if g.hint is not None)
    assert sorted(g[6] for p in prompts for v in p["v"] for g in v["g"] if g[6] != 0) == hints


def test_text_of_the_data_cannot_end_a_script(page):
    assert page.count("<script") == page.count("</script>")


def test_texts_beyond_the_budget_are_left_out_and_counted(tmp_path, monkeypatch):
    entries = list(read_history(write_run(tmp_path / "run", hint_words=400) / "sage_history.jsonl"))
    monkeypatch.setattr("sage.report.prompts.TEXT_BUDGET", 30_000)
    problems = {f"set/p{n}": Problem(f"problem {n}", "1") for n in range(40)}
    found = prompt_data(entries, problems, None, ["set/p5"], 1)
    prompts = dict(zip(found.table["id"], (p for part in found.parts for p in unpacked(part)), strict=True))
    texts = {i: [g[6] for v in p["v"] for g in v["g"] if g[6] != 0] for i, p in prompts.items()}
    left_out = [i for i, hints in texts.items() if None in hints]
    assert left_out and all(set(texts[i]) == {None} for i in left_out)
    assert max(map(len, texts["set/p5"])) > LONG_HINT, "texts of a prompt that is asked for stay whole"
    kept = [h for i, hints in texts.items() if i != "set/p5" for h in hints if h]
    assert all(len(h) < LONG_HINT + 60 for h in kept)
    assert f"of {40 - sum(p.get('p') is None for p in prompts.values())} of 40 prompts" in found.notes[0]


def test_rollouts_join_by_uid(tmp_path):
    run = write_run(tmp_path / "run", steps=2)
    dumps = run / "rollouts"
    dumps.mkdir()
    lines = [
        json.dumps({"input": f"q{uid}", "output": f"text {uid} {k}", "score": 1.0, "uid": f"uid-{uid}_{k}_0"}) + "\n"
        for k in range(8)
        for uid in (3, 1)
    ]
    (dumps / "1.jsonl").write_text("".join(lines) + '{"input": "unfinis')
    found = prompt_data(list(read_history(run / "sage_history.jsonl")), {}, dumps, [], 1)
    prompts = dict(zip(found.table["id"], unpacked(found.parts[0]), strict=True))
    (visit,) = prompts["set/p2"]["v"]  # uid-3 is the third prompt
    assert visit["c"] == ["q3"] and visit["o"] == [[0, 1.0, f"text 3 {k}"] for k in range(8)]
    assert "o" not in prompts["set/p5"]["v"][0] and found.notes == ["18 visits have no dumped rollouts in rollouts/."]
    (dumps / "2.jsonl").write_text('{"output": "x"}\n')
    with pytest.raises(ValueError, match=r"2\.jsonl, line 1: .*so the line is no rollout"):
        list(read_dumps(dumps, {"uid-3"}))


def test_sources_are_named_after_their_paths(tmp_path):
    for name in ("seed1/sage/sage", "grpo/seed0", "mine"):
        write_run(tmp_path / name, prompts=2, steps=1, batch=2)
    found = {(s.method, s.seed) for s in find_sources([str(tmp_path)])}
    assert found == {("sage", 1), ("grpo", 0), ("mine", None)}
    named = find_sources([f"a:3={tmp_path / 'mine'}", f"b={tmp_path / 'grpo/seed0'}"])
    assert [(s.method, s.seed) for s in named] == [("a", 3), ("b", None)]
    with pytest.raises(ValueError, match="METHOD:SEED=PATH"):
        find_sources([str(tmp_path / "mine"), str(tmp_path)])
    with pytest.raises(ValueError, match="no run; expected"):
        find_sources([str(tmp_path / "nothing")])


def test_recorded_runs_give_a_page_and_figures(tmp_path):
    out = tmp_path / "report.html"
    assert report(ROOT / "results/opchain", "--out", out, "--png", tmp_path / "png") == 0
    assert "GRPO, seed 0" in out.read_text() and (tmp_path / "png/figure2.png").stat().st_size > 10_000


@pytest.mark.parametrize("measured", [False, True])
def test_reliance_is_drawn_where_it_was_measured(measured, tmp_path):
    run = write_run(tmp_path / "run", steps=3)
    if measured:
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for line in lines:
            line["data"]["sage/reliance/level_2"] = 0.5
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert report(run, "--out", tmp_path / "page.html") == 0
    assert ("Reliance of successes" in (tmp_path / "page.html").read_text()) == measured


def test_bad_input_is_named(tmp_path, capsys):
    run = write_run(tmp_path / "run", steps=1)
    with pytest.raises(SystemExit):
        report(run, "--prompt", "nobody", "--out", tmp_path / "x.html")
    assert "--prompt nobody: in none" in capsys.readouterr().err
    with open(run / "sage_history.jsonl", "a") as file:
        file.write('{"step": 2}\n')
    with pytest.raises(SystemExit):
        report(run, "--out", tmp_path / "x.html")
    assert "sage_history.jsonl, line 11: 'uid' is missing; so the line is no visit" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()


DAMAGED = {
    "sage_history.jsonl": [
        ("[]", "should be an object"),
        ('{"step": 1, "uid": "u"}', "'prompt_id' is missing"),
        ('{"step": "x"}', "step='x' should be a valid integer"),
        (b"\x80\xff", "not JSON"),
        ({"prompt_id": None}, "prompt_id=None should be a valid string"),
        ({"groups": 3}, "groups=3 should be a valid array"),
        ({"groups": []}, "rows names rollouts that are not there"),
        ({"plan": ["a"]}, "plan.0='a' should be a valid integer"),
        ({"rows": [[0, 99]]}, "rows names rollouts that are not there"),
        ({"decision": {"action": "accept", "reason": "solved", "level": 9}, "rows": []}, "no group has the level"),
    ],
    "metrics.jsonl": [
        ("nonsense", "not JSON"),
        ("\n", "not JSON"),
        (b"\x80\xff", "not JSON"),
        (b"\x1f\x8b\x08rest", "line 1: not JSON"),
        ('{"step": 1}', "'data' is missing"),
        ('{"step": "x", "data": {}}', "step='x' should be a valid integer"),
        ('{"step": 1, "data": 3}', "data=3 should be an object"),
    ],
    "sage_setup.json": [
        ("3", "3 should be an object"),
        ('{"config": null, "versions": {}}', "config=None should be"),
        ('{"config": {}, "versions": true}', "versions=True should be"),
    ],
    "rollouts/1.jsonl": [
        ("garbage", "not JSON"),
        ('{"uid": "u"}', "'input' is missing"),
        ('{"uid": "u", "input": "", "output": "", "score": "high"}', "score='high' should be a valid number"),
    ],
}


@pytest.mark.parametrize(("name", "text", "message"), [(n, *case) for n, cases in DAMAGED.items() for case in cases])
def test_whatever_is_wrong_with_a_file_of_a_run_is_one_sentence(tmp_path, capsys, name, text, message):
    run = write_run(tmp_path / "run", prompts=4, steps=1, batch=2)
    if isinstance(text, dict):
        text = json.dumps(json.loads((run / name).read_text().splitlines()[0]) | text)
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_bytes((text if isinstance(text, bytes) else text.encode()) + b"\n")
    with pytest.raises(SystemExit) as ended:
        report(run, "--data", write_data(tmp_path / "train.parquet", 4), "--out", tmp_path / "x.html")
    error = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2 and str(run / name) in error and message in error, error


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path, capsys):
    run = write_run(tmp_path / "run", steps=1)
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").mkdir()
    with pytest.raises(SystemExit):
        report(run, "--out", tmp_path / "x.html")
    assert "metrics.jsonl: Is a directory" in capsys.readouterr().err


@pytest.mark.parametrize("files", [None, True, 3, [1], {"a": 1}, ["nowhere.parquet"]])
def test_training_files_that_are_none_are_left_out(files):
    assert training_files(Setup({"data": {"train_files": files}})) == []


def test_a_number_that_was_not_finite_has_no_point(tmp_path):
    run = write_run(tmp_path / "run", prompts=4, steps=3, batch=2)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for name in ("sage/groups/accuracy", "sage/prompts/level_1", "sage/tokens/hint", "timing_s/gen"):
        lines[1]["data"][name] = None
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert report(run, "--out", tmp_path / "x.html", "--png", tmp_path / "png") == 0


@pytest.mark.parametrize(
    "change", [{"prompt_id": [1]}, {"problem": 3}, {"reward_model": None}, {"reward_model": "1234"}]
)
def test_a_training_file_of_wrong_types_is_named(tmp_path, capsys, change):
    row = {"prompt_id": "set/p0", "problem": "a", "reward_model": {"ground_truth": "1"}} | change
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "train.parquet")
    with pytest.raises(SystemExit):
        report(write_run(tmp_path / "run", steps=1), "--data", tmp_path / "train.parquet", "--out", tmp_path / "x.html")
    assert "train.parquet, row 0: prompt_id, problem, reward_model are not as in" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_said_first(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for arguments, message in (
        (("--out", tmp_path), "--out: .* is a folder"),
        (("--out", tmp_path / "file/x.html"), "--out: .* cannot be written, .* a file has that name"),
        (("--out", tmp_path / "x.html", "--png", tmp_path / "file"), "--png: a file has that name"),
    ):
        with pytest.raises(SystemExit):
            report(tmp_path / "no_run", *arguments)
        assert re.search(message, capsys.readouterr().err)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_verifier_that_a_run_folder_names_is_not_imported(tmp_path, capsys):
    run = write_run(tmp_path / "run", steps=2)
    setup = {"config": {"sage": {"verifier": "her_own.checks:Verifier"}}, "versions": {"verl": "0.9.1"}}
    (run / "sage_setup.json").write_text(json.dumps(setup))
    assert report(run, "--data", write_data(tmp_path / "train.parquet", 40), "--out", tmp_path / "x.html") == 0
    assert "exact comparison; its own is --verifier her_own.checks:Verifier." in capsys.readouterr().out
    assert (tmp_path / "x.html").stat().st_size > 10_000


def test_a_run_of_the_launch_scripts_is_one_run(tmp_path):
    """They put checkpoints, history and setup into a folder of their own below the metrics."""
    run = write_run(tmp_path / "runs/qwen2.5-7b_sage", prompts=4, steps=2, batch=4)
    (below := run / "checkpoints").mkdir()
    (run / "sage_history.jsonl").rename(below / "sage_history.jsonl")
    (below / "sage_setup.json").write_text(json.dumps({"config": {"sage": {}}, "versions": {"verl": "0.9.1"}}))
    for path in (tmp_path, run, below):
        (source,) = find_sources([str(path)])
        assert (source.method, source.path, source.state) == ("qwen2.5-7b_sage", run, below)
    assert read_setup(source).versions == {"verl": "0.9.1"}
    assert report(tmp_path, "--out", tmp_path / "x.html") == 0
    page = (tmp_path / "x.html").read_text()
    assert "0.9.1" in page and "Not known" not in page and "no prompts, hints or levels" not in page


def test_a_setup_that_is_missing_or_damaged_is_named(tmp_path):
    source = Source("sage", None, tmp_path)
    assert "no sage_setup.json" in read_setup(source).missing[0]
    (tmp_path / "sage_setup.json").write_text("[]")
    with pytest.raises(ValueError, match=r"sage_setup\.json: \[\] should be an object; .* config and versions"):
        read_setup(source)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 45), (0, 3.6e-7), (-0.2, 0.3), (1, 500)])
def test_ticks_are_few_and_inside(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 7 and low - 1e-9 <= found[0] and found[-1] <= high * (1 + 1e-9)


def test_thinning_keeps_the_mean():
    points = [(float(x), x % 7.0, 0.0, 1.0) for x in range(960)]
    found = thin(points)
    assert len(found) == 120 and sum(p[1] for p in found) / 120 == pytest.approx(sum(p[1] for p in points) / 960)


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs the browser chromium")
def test_a_browser_shows_the_chosen_prompt(page, tmp_path):
    (tmp_path / "report.html").write_text(page)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}"]
    address = f"file://{tmp_path / 'report.html'}#run=1&prompt=set%2Fp3"
    command = ["chromium", *flags, "--virtual-time-budget=5000", "--dump-dom", address]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    assert "40 of 40 prompts" in dom and 'data-prompt="set/p3"' in dom
    assert "problem 3 &lt;/script&gt;" in dom and dom.count('class="visit"') == 3


def test_answers_that_gave_no_hint_are_shown_and_spread_over_the_training():
    def entry(step: int, *requests: HintRequest) -> Entry:
        decision = Decision(Action.GIVE_UP, Reason.HINT_MISSING, 0)
        group = Group(0, (Rollout(0.0, False, 3),))
        return Entry(step, f"u{step}", Visit(f"p{step}", (0, 1), (group,), decision, requests))

    used = HintRequest(1, RequestOutcome.USED, 3, 0.1)
    entries = [
        entry(n, used, HintRequest(1, RequestOutcome.PARSE, 1200, 0.1, f"<b>{n}</b>"), used) for n in range(1, 11)
    ]
    entries.append(entry(11, HintRequest(2, RequestOutcome.LEAK, 3, 0.1, "it is 5"), used))
    found = unused_answers(entries)
    assert [(u.step, str(u.request.outcome)) for u in found] == [
        (11, "leak"), (1, "parse"), (4, "parse"), (7, "parse"), (10, "parse")
    ]  # fmt: skip
    card = TEMPLATES.get_template("cards.html").module.unused_card(found[1])
    assert "&lt;b&gt;1&lt;/b&gt;" in card and "level 1</b> step 1, 1,200 tokens" in card and "p1" in card
