import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sage.data.training import check_training_files
from sage.grading.verifier import load_verifier
from sage.toy.embedded.build_base import ASSISTANT, build_tokenizer
from sage.toy.embedded.build_data import SEEDS, TEST, TRAIN, build, final_test
from sage.toy.embedded.series import TESTED
from sage.toy.embedded.tasks import TASKS
from sage.toy.opchain import corpus
from sage.toy.opchain.task import KINDS, OPERATIONS, extract_answer, is_correct, make_problem, make_problems
from sage.toy.opchain.verifier import Verifier

BASE = Path(__file__).parents[2] / "examples/opchain_base"


def right_solution(problem):
    """Every step with its right meaning."""
    steps = zip("abcdefghijkl", problem.operations, problem.states, strict=False)
    return "".join(f"{label}{name}{''.join(map(str, s))}" for label, name, s in steps) + "#" + problem.answer


@pytest.mark.parametrize("kind", KINDS)
def test_the_right_meanings_give_the_answer(kind):
    for problem in make_problems(kind, 50, seed=1):
        assert is_correct(right_solution(problem), problem.answer)
        assert problem.solution.endswith(problem.answer) and len(problem.solution) == 16


def test_every_uncertain_operation_has_a_wrong_meaning_that_differs():
    for name, meanings in OPERATIONS.items():
        states = [(a, b, c) for a in range(10) for b in range(10) for c in range(10)]
        if len(meanings) == 2:
            assert any(meanings[0](s) != meanings[1](s) for s in states), name
        assert all(len(set(map(m, states))) == 1000 for m in meanings), f"{name} loses information"


@pytest.mark.parametrize("text", ["", "685", "#685#685", "aR807", "a#", "#85", "#685 #"])
def test_other_responses_are_wrong(text):
    assert not is_correct(text, "685")


def test_extraction_wants_exactly_one_mark():
    assert extract_answer("x#685") == "685" and extract_answer("x") is None and extract_answer("#1#2") is None


def test_success_of_the_corpus_decays_with_uncertain_steps_and_grows_with_hints():
    rng = random.Random(0)
    problems = make_problems("hard", 400, seed=3)

    def rate(level):
        first = [p.checkpoint_step(level) if level else 0 for p in problems]
        hits = [is_correct(corpus.noisy_solution(p, rng, n), p.answer) for p, n in zip(problems, first, strict=True)]
        return sum(hits) / len(hits)

    rates = [rate(level) for level in range(4)]
    assert rates == sorted(rates) and rates[0] < 0.05 and rates[3] > 0.2


def test_documents_cover_every_part_in_the_alphabet_of_the_tokenizer():
    rng = random.Random(0)
    tokenizer = build_tokenizer()
    documents = [corpus.sample_document(rng) for _ in range(300)]
    assert any(user.endswith("~*") for user, _ in documents) and any("!" in user for user, _ in documents)
    for user, assistant in documents:
        assert tokenizer.decode(tokenizer(assistant, add_special_tokens=False)["input_ids"]) == assistant
        assert len(tokenizer(user)["input_ids"]) < 60


def test_the_chat_template_opens_the_assistant_turn():
    text = build_tokenizer().apply_chat_template(
        [{"role": "user", "content": "887aR="}], add_generation_prompt=True, tokenize=False
    )
    assert text == f"<|user|>887aR=<|end|>{ASSISTANT}"


def test_data_files_are_seeded_valid_and_disjoint(tmp_path):
    sizes = {"easy": 8, "medium": 8, "hard": 16}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        build(tmp_path / name, seed, sizes, test=10)
    read = lambda name, split: pq.read_table(tmp_path / name / f"{split}.parquet").to_pylist()  # noqa: E731
    assert read("a", "train") == read("b", "train") != read("c", "train")
    assert read("a", "test") == read("c", "test"), "one test set for all seeds"
    train, test = ({r["prompt_id"] for r in read("a", split)} for split in ("train", "test"))
    assert len(train) == 32 and len(test) == 30 and not train & test
    report = check_training_files([str(tmp_path / "a/train.parquet")], needs_solutions=True)
    assert (report.rows, report.without_solution) == (32, 0)


@pytest.mark.parametrize("task", TASKS)
def test_no_recorded_run_trains_on_a_problem_of_the_final_test(task, tmp_path):
    """Nor on another set of problems than before the final test was made larger."""
    found = final_test(task, TESTED[task][0])
    assert {kind: sum(p.kind == kind for p in found) for kind in KINDS} == dict.fromkeys(KINDS, TESTED[task][0])
    texts = {problem.text for problem in found}
    assert len(texts) == len(found)
    for seed in SEEDS:
        trained = {problem.text for problem in build(tmp_path, seed, TRAIN, TEST, task)}
        assert not trained & texts and len(trained) == sum(TRAIN.values())
    held_out = {p["problem"] for p in pq.read_table(tmp_path / "test.parquet").to_pylist()}
    assert held_out <= texts


def test_the_verifier_is_found_by_its_path():
    verifier = load_verifier("sage.toy.opchain.verifier:Verifier")
    assert isinstance(verifier, Verifier)
    assert verifier.same_answer("085", "085") and not verifier.same_answer("85", "085")


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="easy, medium, hard"):
        make_problem("harder", random.Random(0))


def test_the_committed_base_model_writes_the_hints_itself():
    """Greedy hints of all three levels, one a request and as JSON, equal the checkpoints of the solution."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BASE)
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32).eval()
    assert sum(p.numel() for p in model.parameters()) < 1_000_000

    def write(text, limit):
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_tensors="pt", return_dict=False
        )
        output = model.generate(ids, max_new_tokens=limit, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        return tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)

    problems = make_problems("hard", 5, seed=99)
    for problem in problems:
        for level in (1, 2, 3):
            request = corpus.PROMPTS.hint_request_text(problem.text, problem.solution, level)
            assert write(request, 8) == problem.checkpoint(level)
    request = corpus.PROMPTS.hint_request_text(problems[0].text, problems[0].solution, None)
    assert write(request, 60) == corpus.hints_json(problems[0])
