r"""Verifiers: equal answers in every spelling, bounded time on hostile ones, the same verdicts from any thread."""

import asyncio
import json
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.grading.answers import number
from sage.grading.responses import boxed_spans, last_boxed
from sage.grading.verifier import ExactVerifier, MathVerifier, load_verifier

SHARED = Path(__file__).parents[3] / "shared"
SLOW = (
    "9^{9^{9^9}}",
    "(10^7)!",
    r"\sum_{k=1}^{10000} \frac{1}{k^k}",
    "+".join(f"x^{{{k}}}" for k in range(400)),
    "((9^9)^9)^{9^9}",
)
EQUAL = [
    ("0.5", r"\frac{1}{2}"),
    ("1/2", r"50\%"),
    ("50", r"50\%"),
    (r"\frac12", ".5"),
    (r"1\frac{4}{5}", "1.8"),
    ("1 1/2", "1.5"),
    (r"10,\!080", "10080"),
    (r"\$32,348", "32348"),
    ("0.333333", "1/3"),
    (r"-\dfrac{1}{3}", r"\frac{-1}{3}"),
    (r"90^\circ", "90"),
    ("x = 5", "5"),
    ("27.0", "27"),
    (r"4.5\times10^{33}", "4.5e33"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
    (r"\text{(C)}", "(C)"),
    ("085", "85"),
]
DIFFERENT = [
    ("0.333", "1/3"),
    ("50%", "5000%"),
    ("2", "-2"),
    ("1,234", "12,34"),
    ("x=5", "x=6"),
    ("1/0", "0"),
    ("", "0"),
    ("11/2", "1 1/2"),
]
SYMBOLIC = [
    ("x^2+1", "1+x^2"),
    (r"\sqrt{8}", r"2\sqrt{2}"),
    ("-q+p", "p - q"),
    ("2^{10}", "1024"),
    ("-2,1", "1,-2"),
    (r"\text{(C)}", "C"),
]


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    verifier = MathVerifier()
    yield verifier
    assert (verifier.timeouts, verifier.crashes) == (0, 0)
    verifier.close()


@pytest.mark.parametrize(("candidate", "answer"), EQUAL)
def test_plain_answers_are_compared_without_a_process(candidate: str, answer: str) -> None:
    verifier = MathVerifier(timeout=0)
    assert verifier.is_correct(rf"so \boxed{{{candidate}}}", answer)
    assert verifier.same_answer(candidate, answer) and verifier.same_answer(answer, candidate)
    assert verifier._pool.process_ids == []


@pytest.mark.parametrize(("candidate", "answer"), DIFFERENT)
def test_different_plain_answers_differ(candidate: str, answer: str) -> None:
    assert not MathVerifier().same_answer(candidate, answer)
    assert not MathVerifier().same_answer(answer, candidate)


@pytest.mark.parametrize(("candidate", "answer"), SYMBOLIC)
def test_mathematics_decides_the_rest(verifier: MathVerifier, candidate: str, answer: str) -> None:
    assert verifier.is_correct(rf"\boxed{{1}} no, \boxed{{{candidate}}}.", answer)
    assert verifier.same_answer(candidate, answer)
    assert not verifier.is_correct(rf"\boxed{{{candidate} + 1}}", answer)
    assert not verifier.same_answer(candidate + "+1", answer)


def test_only_the_last_complete_box_counts(verifier: MathVerifier) -> None:
    assert verifier.is_correct(r"\boxed{4} \boxed{\frac{1}{2}} and \boxed{3", "0.5")
    assert not verifier.is_correct(r"\boxed{0.5} \boxed{4}", "0.5")
    assert not verifier.is_correct("the answer is 0.5", "0.5")
    assert not verifier.is_correct(r"\boxed{}", "0.5")
    assert last_boxed(r"\boxed{\{1, 2\}} x \fbox{\boxed{7}}") == r"\boxed{7}"
    assert last_boxed(r"\boxed 5") == "5"
    assert last_boxed("{}}{") is None


@pytest.mark.parametrize("slow", SLOW)
def test_hostile_answers_are_cut_off_here(slow: str) -> None:
    verifier = MathVerifier()
    start = time.process_time()
    assert not verifier.same_answer(slow, "17")
    assert not verifier.same_answer("x^2+17", slow)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("candidate", "answer"),
    [
        ("2e3", r"2 \times 10^3"),
        ("10^{11}", "1e11"),
        (r"\frac{1.77}{10^6}", "1.77e-6"),
        ("x^{10} y_{1}", "x^10 y_1"),
        ("1+x^2.", "x^2+1"),
        (r"135^\circ, 45^\circ", r"45^\circ, 135^\circ"),
        (r"\hbar^2 \oint q", r"\hbar^{2} \oint q"),
        ("52", "52_8"),
        (r"52_{8}", "52_8"),
        (r"8 \text{ cm}^2", "8"),
        (r"150\text{ lbs}", r"150\text{ pounds}"),
        (r"10\text{ years}", r"10\text{ yrs}"),
        (r"8 \frac{m}{s}", r"8\text{ m/s}"),
        ("24 m s^{-1}", "24"),
        (r"9.8\,\mathrm{ms}^{-2}", r"9.8\text{ m/s}^2"),
        (r"0.5 \mu F", r"0.5\,\mu\text{F}"),
        (r"\pi hr^2", r"\pi r^2 h"),
        ("six", r"\text{six}"),
        (r"k\pi \text{ where } k \text{ is an integer}", r"n\pi, n\in\mathbb{Z}"),
        (r"k\pi \text{ for any integer } k", r"n\pi, n\in\mathbb{Z}"),
        (r"n=2^k, k\ge 1", r"n = 2^k \text{ for } k \ge 1"),
        ("dy/dx = 2x", r"\frac{dy}{dx}=2x"),
        ("y' = 2x", r"\frac{dy}{dx}=2x"),
        (r"\overline{AB}=5", "AB=5"),
        (r"y+x\le 1", r"x+y\le 1"),
        (r"\lnot p \vee q", r"\neg p \lor q"),
        (r"\{2, 4, 6, ...\}", r"\{2,4,6,\ldots\}"),
        (r"\hat p", r"\hat{p}"),
        (r"\mathdollar 1250", r"\$1,250"),
        (r"2\overrightarrow{a}-\overrightarrow{b}", r"2\vec{a}-\vec{b}"),
        ("ℏω", r"\hbar\omega"),
        ("arctan 2", r"\arctan 2"),
        (r"\text{Yes!}", "Yes"),
        (r"\rightarrow 13", "13"),
        (r"\{x:x\text{ is even}\}", r"\{x\mid x\text{ is even}\}"),
        ("f(2)+f(1)=6", "6"),
    ],
)
def test_notations(verifier: MathVerifier, candidate: str, answer: str) -> None:
    assert verifier.is_correct(rf"\boxed{{{candidate}}}", answer)


@pytest.mark.parametrize(
    ("candidate", "answer"),
    [
        (r"3 \times 10^{-11} \text{ m}", "9.6e-10"),
        (r".0000673 \text{ s}", ".0000672"),
        (r"\frac{2}{3} E_{1}+\frac{2}{3} E_{2}", r"\frac{1}{3} E_{1}+\frac{2}{3} E_{2}"),
        (r"\hbar \omega(v+2 / 2)", r"\hbar \omega(v+1 / 2)"),
        ("52_9", "52_8"),
        ("45135", r"45^\circ, 135^\circ"),
        ("45135", "45, 135"),
        ("10200", "$10$,$200$"),
        (r"\frac{2}{2004!}", r"\frac{1}{2004!}"),
        (r"8 \text{ cm}^3", r"8 \text{ cm}^2"),
        (r"\pi R^2 h", r"\pi r^2 h"),
        (r"\frac{Mg}{k}", r"\frac{mg}{k}"),
        (r"\frac{dx}{dy}=2x", r"\frac{dy}{dx}=2x"),
        (r"\frac{dy}{dt}=ky", r"\frac{dy}{dt}=-ky"),
        (r"\frac{\partial f}{\partial y}", r"\frac{\partial f}{\partial x}"),
        (r"\gcd(m,n+1)", r"\gcd(m,n)"),
        ("1", r"\gcd(m,n)"),
        (r"\neg p \land q", r"\neg p \lor q"),
        (r"\vec a\times\vec b", r"\vec a\cdot\vec b"),
        (r"\hat p", "p"),
        (r"\operatorname{Re}(z)", "z"),
        (r"7\text{ is not the answer}", "7"),
        (r"\text{any number such as }7", "7"),
        ("n", r"n \text{ must be prime}"),
        ("x", r"\text{x-axis}"),
        ("a=d=c", "a=b=c"),
        ("x=y=w=2", "x=y=z=2"),
        ("3n-1=6", "6"),
    ],
)
def test_what_math_verify_would_accept(verifier: MathVerifier, candidate: str, answer: str) -> None:
    assert not verifier.is_correct(rf"\boxed{{{candidate}}}", answer)


LETTER = [
    "B", "b", "(B)", "B.", r"\text{B}", r"\text{(B)}", r"\textbf{(B)}", r"\mathrm{(B)}", "B. 12", "B) a dog", "(B): x",
    "Option B", r"\textbf{(B)}\ 12", r"\text{B. the cat}", "B. Both (A) and (C)",
]  # fmt: skip
OTHER_LETTERS = [
    "A",
    "C. B",
    "A, B",
    "B or C",
    "(B) and (C)",
    "B, C",
    "BC",
    "12",
    "",
    "x = B",
    "B = B",
    r"\beta",
    "K",
]


def test_a_box_names_a_choice() -> None:
    verifier = MathVerifier(processes=1)
    for answer in ("B", "(B)", r"\text{(B)}"):
        for candidate in LETTER:
            assert verifier.is_correct(rf"\boxed{{{candidate}}}", answer), candidate
            assert verifier.same_answer(candidate, answer), candidate
            assert not verifier.is_correct(rf"\boxed{{{candidate}}}", "C"), candidate
        for candidate in OTHER_LETTERS:
            assert not verifier.is_correct(rf"\boxed{{{candidate}}}", answer), candidate
            assert not verifier.same_answer(candidate, answer), candidate
    assert verifier._pool.process_ids == []


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("The answer is (B).", "B"),
        ("The answer is (A)? No: the answer is (B), because", "B"),
        ("**Answer: B**", "B"),
        ("the final answer is: $\\text{(B)}$", "B"),
        ("the answer is **B. 12**", "B"),
        ("so the answer is B since", "B"),
        ("the answer is B\nas said", "B"),
        ("The answer is a dog", None),
        ("The answer is A dog", None),
        ("The answer is (A) or (B)", None),
        ("Answer: A, B", None),
        ("the answer is not (B)", None),
        ("B", None),
        (r"The answer is (B). \boxed{12}", None),
    ],
)
def test_without_a_box_a_statement_names_a_choice(response: str, letter: str | None) -> None:
    verifier = MathVerifier()
    assert [option for option in "ABCDEFGHIJ" if verifier.is_correct(response, option)] == ([letter] if letter else [])
    assert not verifier.is_correct("the answer is 12", "12"), "for choices only"


def test_threads_and_executors_get_the_verdicts_of_the_main_thread(verifier: MathVerifier) -> None:
    pairs = [(candidate, answer, True) for candidate, answer in SYMBOLIC + EQUAL]
    pairs += [(candidate, answer, False) for candidate, answer in DIFFERENT]
    pairs *= 3
    expected = [verdict for *_, verdict in pairs]
    with ThreadPoolExecutor(8) as pool:
        graded = list(pool.map(lambda pair: verifier.is_correct(rf"\boxed{{{pair[0]}}}", pair[1]), pairs))
        same = list(pool.map(lambda pair: verifier.same_answer(pair[0], pair[1]), pairs))
    assert graded == expected
    assert same == expected

    async def grade() -> list[bool]:
        return await asyncio.gather(*(asyncio.to_thread(verifier.is_correct, r"\boxed{1+x}", f"x+{n}") for n in (1, 2)))

    results: list[list[bool]] = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(grade())))
    thread.start()
    thread.join()
    assert results == [[True, False]]


def test_a_verifier_can_be_pickled() -> None:
    copy = pickle.loads(pickle.dumps(MathVerifier(timeout=3.0, processes=2)))
    assert copy._settings == (3.0, 2000, 2)
    assert copy.is_correct(r"\boxed{0.5}", "1/2")


def test_exact_verifier_compares_text() -> None:
    exact = ExactVerifier()
    assert exact.is_correct("so \\boxed{a  b}", "a b")
    assert exact.is_correct(" 085\n", "085")
    assert not exact.is_correct("085", "85")
    assert not exact.is_correct("it is 085", "085")


class Outside:
    """A verifier from another package."""

    def is_correct(self, response: str, answer: str) -> bool:
        return answer in response

    def same_answer(self, candidate: str, answer: str) -> bool:
        return candidate == answer


instance = Outside()


def test_load_verifier_finds_built_in_and_outside_ones() -> None:
    assert isinstance(load_verifier("math"), MathVerifier)
    assert isinstance(load_verifier("exact"), ExactVerifier)
    assert load_verifier(f"{__name__}:Outside").same_answer("a", "a")
    assert load_verifier(f"{__name__}:instance").is_correct("abc", "b")


def test_a_file_named_by_several_threads_is_executed_once_and_whole(tmp_path: Path) -> None:
    lines = [
        "import time",
        "time.sleep(0.2)",
        "from sage.grading.verifier import ExactVerifier as Hers",
        "instance = Hers()",
    ]
    (tmp_path / "hers.py").write_text("\n".join(lines))
    with ThreadPoolExecutor(8) as pool:
        verifiers = list(pool.map(load_verifier, [f"{tmp_path}/hers.py:instance"] * 8))
    assert len(set(map(id, verifiers))) == 1


@pytest.mark.parametrize(
    ("spec", "advice"),
    [
        ("maths", "use math, exact, package.module:name"),
        ("a:", "path/to/file.py:name"),
        ("a.py:b", "correct the name, set PYTHONPATH, or mend it"),
        ("no_such_package.x:y", "correct the name, set PYTHONPATH, or mend it"),
        ("sage.grading.verifier:Nothing", "correct the part after"),
        ("sage.grading.verifier:last_boxed", "lacks the method is_correct"),
    ],
)
def test_load_verifier_says_what_to_change(spec: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        load_verifier(spec)


@settings(max_examples=100)
@given(st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=10**4))
def test_numbers_round_trip(value: Fraction) -> None:
    for text in (
        f"{value.numerator}/{value.denominator}",
        rf"\frac{{{value.numerator}}}{{{value.denominator}}}",
        str(value),
    ):
        parsed = number(text)
        assert parsed is not None and parsed.value == value
    grouped = number(f"{value.numerator:,}")
    assert grouped is not None and grouped.value == value.numerator


answers = st.one_of(st.text(max_size=40), st.text("0123456789.,-%/\\{}^$=()! xfracsqrt_", max_size=40))


@settings(max_examples=100)
@given(answers, answers)
def test_any_two_texts_can_be_compared(candidate: str, answer: str) -> None:
    verifier = MathVerifier()
    assert isinstance(verifier.same_answer(candidate, answer), bool)
    assert not answer.strip() or number(answer) is None or verifier.same_answer(answer, answer)
    assert all(0 <= start <= end <= len(answer) for start, end in boxed_spans(answer))


def _golds(step: int) -> list[str]:
    path = SHARED / "data/math500.jsonl"
    return [json.loads(line)["answer"] for line in path.read_text(encoding="utf-8").splitlines()[::step]]


@pytest.mark.skipif(not (SHARED / "data/math500.jsonl").is_file(), reason="../shared/data is not there")
@pytest.mark.parametrize("step", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_gold_answers_equal_themselves_and_not_a_perturbation(verifier: MathVerifier, step: int) -> None:
    wrong = []
    for answer in _golds(step):
        perturbed = rf"{answer} + 1" if number(answer) is None else f"{answer}7"
        if not verifier.is_correct(rf"\boxed{{{answer}}}", answer) or not verifier.same_answer(answer, answer):
            wrong.append(answer)
        if (
            any(c.isdigit() for c in answer)
            and "text" not in answer
            and verifier.is_correct(rf"\boxed{{{perturbed}}}", answer)
        ):
            wrong.append(perturbed)
    assert wrong == []
