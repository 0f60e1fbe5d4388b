"""What is written, resumed and refused; the engine is replaced by a function of the request's seed."""

import json
import os
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from sage.evaluation import run
from sage.evaluation.checkpoints import Checkpoint, find_checkpoints, merge
from sage.evaluation.generate import Decoding, Generation, Request, replica_devices
from sage.evaluation.problems import Problem
from sage.evaluation.run import Evaluation, Settings, extract_answer, messages
from sage.evaluation.store import TOO_LONG, Sample, SampleFile, check_settings
from sage.grading.verifier import ExactVerifier, MathVerifier
from sage.support.model import ChatTemplate

MODEL = str(Path(__file__).parents[2] / "examples" / "opchain_base")
TEMPLATE = ChatTemplate.open(MODEL, {})
SETTINGS = Settings(4, Decoding(1.0, 1.0, 50), seed=0, system="", verifier="exact", responses=True)
BENCHMARKS = {
    "mine": [Problem(f"m{n}", f"{n}aA", str(n)) for n in range(5)],
    "gpqa": [Problem(f"rec{n}", f"{n}aB", "B", choices=4) for n in range(3)],
}


class FakeReplicas:
    """Answers at random, in random order, by the seed of each request; may fail after a number of responses."""

    context_length = 100
    fail_after = 10**9
    seeds: ClassVar[list[int]] = []

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> "FakeReplicas":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, groups: Iterable[list[Request]]) -> Iterator[Generation]:
        requests = [request for group in groups for request in group]
        random.shuffle(requests)
        for count, request in enumerate(requests):
            if count == self.fail_after:
                raise RuntimeError("a replica ended")
            self.seeds.append(request.seed)
            rng = random.Random(request.seed)
            yield Generation(request.key, rf"text\u2028 \boxed{{{rng.choice('01234B')}}}", rng.randrange(50), "stop")


@pytest.fixture(autouse=True)
def engine(monkeypatch):
    monkeypatch.setattr(run, "Replicas", FakeReplicas)
    monkeypatch.setattr(FakeReplicas, "seeds", [])
    monkeypatch.setattr("sage.evaluation.scores.DRAWS", 100)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return monkeypatch


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def finished(folder: Path) -> Evaluation:
    evaluation = Evaluation(folder, BENCHMARKS, SETTINGS)
    evaluation.begin({"model": "m"}, {name: "digest" for name in BENCHMARKS})
    evaluation.sample(MODEL, TEMPLATE, {}, 1)
    evaluation.finish({"model": "m", "checkpoint": "c"})
    return evaluation


def test_an_interrupted_evaluation_ends_with_the_same_files(tmp_path, engine):
    finished(tmp_path / "whole")
    for count in (5, 9):
        engine.setattr(FakeReplicas, "fail_after", count)
        with pytest.raises(RuntimeError, match="a replica ended"):
            finished(tmp_path / "cut")
    engine.setattr(FakeReplicas, "fail_after", 10**9)
    with open(tmp_path / "cut" / "mine.jsonl", "ab") as file:
        file.write(b'{"problem_id": "m1", "sam')
    assert (
        sum(len(n) for b in Evaluation(tmp_path / "cut", BENCHMARKS, SETTINGS).missing().values() for n in b.values())
        == 18
    )
    finished(tmp_path / "cut")
    assert files(tmp_path / "whole") == files(tmp_path / "cut")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"problem": "of somebody else"}', "the last line has no end and is none of this program"),
        ("[]\n", r"mine\.jsonl, line 1: \[\] should be an object; so the line is no sample: delete it"),
        ('{"problem_id": 3}\n', "problem_id=3 should be a valid string"),
    ],
)
def test_a_file_of_somebody_else_is_refused_and_stays_as_it_is(tmp_path, text, message):
    finished(tmp_path)
    (tmp_path / "mine.jsonl").write_text(text)
    with pytest.raises(ValueError, match=message):
        Evaluation(tmp_path, BENCHMARKS, SETTINGS).missing()
    assert (tmp_path / "mine.jsonl").read_text() == text


@pytest.mark.parametrize("name", ["settings.json", "summary.json"])
@pytest.mark.parametrize("text", ["3", "{", '{"settings": 3}'])
def test_a_damaged_note_is_named(tmp_path, name, text):
    finished(tmp_path)
    (tmp_path / name).write_text(text)
    if (name, text) == ("summary.json", '{"settings": 3}'):
        finished(tmp_path)  # of other settings, and written anew
        return
    with pytest.raises(ValueError, match=name):
        finished(tmp_path)


def test_each_sample_is_drawn_graded_and_stored_once(tmp_path):
    evaluation = finished(tmp_path)
    assert not any(evaluation.missing().values())
    rows = [json.loads(line) for line in (tmp_path / "mine.jsonl").read_text().split("\n")[:-1]]
    assert [(r["problem_id"], r["sample"]) for r in rows] == [(f"m{n}", s) for n in range(5) for s in range(4)]
    assert all(r["correct"] == (r["answer"] == r["problem_id"][1:]) for r in rows)
    assert all(r["response"].endswith(rf"\boxed{{{r['answer']}}}") for r in rows)
    assert len(FakeReplicas.seeds) == len(set(FakeReplicas.seeds)) == 8 * 4, "a seed of its own for every sample"


def test_nothing_of_a_private_benchmark_is_stored_but_letters(tmp_path):
    finished(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "gpqa.jsonl").read_text().splitlines()]
    assert len(rows) == 12
    assert all(set(r) == {"problem_id", "sample", "answer", "correct", "tokens", "finish"} for r in rows)
    assert {r["answer"] for r in rows} <= {"B", None}


def test_a_prompt_longer_than_the_context_is_counted_and_tried_again_later(tmp_path, engine):
    engine.setattr(FakeReplicas, "context_length", 4)
    evaluation = finished(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["benchmarks"]["mine"]["prompt_too_long"] == 20 and summary["benchmarks"]["mine"]["avg"] == 0
    assert sum(map(len, evaluation.missing()["mine"].values())) == 20
    engine.setattr(FakeReplicas, "context_length", 100)
    finished(tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["benchmarks"]["mine"]["prompt_too_long"] == 0
    assert TOO_LONG not in (tmp_path / "mine.jsonl").read_text()


def test_more_samples_and_more_benchmarks_go_on_with_what_is_there(tmp_path):
    few = Evaluation(tmp_path, {"mine": BENCHMARKS["mine"]}, SETTINGS)
    few.begin({"model": "m"}, {"mine": "digest"})
    few.sample(MODEL, TEMPLATE, {}, 1)
    before = (tmp_path / "mine.jsonl").read_bytes()
    finished(tmp_path)
    assert sorted(before.splitlines()) == (tmp_path / "mine.jsonl").read_bytes().splitlines()
    assert set(json.loads((tmp_path / "settings.json").read_text())["benchmarks"]) == {"mine", "gpqa"}


def test_benchmarks_of_an_earlier_call_keep_their_scores(tmp_path):
    for name, problems in BENCHMARKS.items():
        part = Evaluation(tmp_path / "parts", {name: problems}, SETTINGS)
        part.begin({"model": "m"}, {name: "digest"})
        part.sample(MODEL, TEMPLATE, {}, 1)
        part.finish({"model": "m", "checkpoint": "c"})
    finished(tmp_path / "whole")
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


@pytest.mark.parametrize(("settings", "digest"), [({"temperature": 0.6}, "a"), ({"temperature": 1.0}, "b")])
def test_samples_drawn_in_another_way_are_not_gone_on_with(tmp_path, settings, digest):
    check_settings(tmp_path / "settings.json", {"temperature": 0.3}, {"mine": "a"})
    check_settings(tmp_path / "settings.json", {"temperature": 1.0}, {"mine": "a"})  # no samples yet: nothing to mix
    SampleFile(tmp_path / "mine.jsonl").append(Sample("p", 0, None, False, 1, "stop"))
    with pytest.raises(ValueError, match=r"temperature was 1\.0 and is 0\.6|mine was 'a' and is 'b'"):
        check_settings(tmp_path / "settings.json", settings, {"mine": digest})


def test_a_line_that_is_no_sample_is_an_error(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"problem_id": "p"}\n')
    with pytest.raises(ValueError, match=r"x\.jsonl, line 1"):
        SampleFile(tmp_path / "x.jsonl").read()


def test_the_answer_is_what_the_verifier_reads():
    math, choice = Problem("p", "q", "5"), Problem("p", "q", "B", choices=4)
    assert extract_answer(MathVerifier(), math, r"\boxed{4} no \boxed{5}") == "5"
    assert extract_answer(MathVerifier(), math, "five") is None
    for response in (r"\boxed{B}", r"\boxed{\text{(B)}}", "The answer is (B)."):
        assert extract_answer(MathVerifier(), choice, response) == "B"
        assert MathVerifier().is_correct(response, "B")

    class Own(ExactVerifier):
        def extract_answer(self, response: str) -> str | None:
            return response[-1:]

    assert extract_answer(Own(), math, "abc") == "c"


def test_a_problem_brings_its_own_messages_or_gets_the_system_prompt():
    own = ({"role": "user", "content": "u"},)
    assert messages(Problem("p", "u", "1", messages=own), "s") == list(own)
    assert messages(Problem("p", "u", "1"), "") == list(own)
    assert messages(Problem("p", "u", "1"), "s")[0] == {"role": "system", "content": "s"}


def test_visible_gpus_are_shared_out(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7,1")
    assert replica_devices({}, None) == ["4", "5", "6", "7", "1"]
    assert replica_devices({"tensor_parallel_size": 2}, None) == ["4,5", "6,7"]
    assert replica_devices({}, 2) == ["4", "5"]
    with pytest.raises(ValueError, match="5 visible GPUs hold 2 replicas of 2"):
        replica_devices({"tensor_parallel_size": 2}, 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert replica_devices({}, None) == [None] and replica_devices({}, 2) == [None, None]


def checkpoint(run_folder: Path, step: int, *names: str) -> Path:
    folder = run_folder / f"global_step_{step}"
    for name in names:
        path = folder / "actor" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return folder


def test_complete_checkpoints_are_found_in_the_order_of_their_steps(tmp_path):
    for step in (100, 50, 150):
        checkpoint(tmp_path, step, "fsdp_config.json", "model_world_size_1_rank_0.pt")
    (tmp_path / "global_step_7").mkdir()
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("100")
    found, skipped = find_checkpoints(tmp_path)
    assert [c.step for c in found] == [50, 100]
    assert len(skipped) == 2 and "says 100" in skipped[0] and "no folder 'actor'" in skipped[1]
    with pytest.raises(ValueError, match="no complete checkpoint"):
        find_checkpoints(tmp_path / "nothing")


def test_what_a_checkpoint_holds_decides_how_it_is_merged(tmp_path):
    assert Checkpoint(checkpoint(tmp_path, 1, "fsdp_config.json", "model_world_size_1_rank_0.pt")).backend == "fsdp"
    assert Checkpoint(checkpoint(tmp_path, 2, "model/dist_ckpt/a.distcp")).backend == "megatron"
    saved = Checkpoint(checkpoint(tmp_path, 3, "huggingface/model.safetensors"))
    assert merge(saved, tmp_path / "out") == saved.path / "actor/huggingface" and not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="save_contents"):
        merge(Checkpoint(checkpoint(tmp_path, 4, "optim_world_size_1_rank_0.pt")), tmp_path / "out")


def test_a_checkpoint_written_anew_is_another_one(tmp_path):
    folder = checkpoint(tmp_path, 1, "fsdp_config.json", "model_world_size_1_rank_0.pt")
    before = Checkpoint(folder).identity()
    assert Checkpoint(folder).identity() == before
    os.utime(folder / "actor/model_world_size_1_rank_0.pt", (1, 1))
    assert Checkpoint(folder).identity() != before
