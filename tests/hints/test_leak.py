r"""The leak guard finds every way of stating the answer, leaves other text alone and stays fast."""

import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.grading.verifier import ExactVerifier, MathVerifier
from sage.hints.leak import PLACEHOLDER, find_leaks, is_distinctive, redact
from sage.toy.opchain.task import make_problems

SHARED = Path(__file__).parents[3] / "shared"
EXACT, MATH = ExactVerifier(), MathVerifier()


def leaked(hint: str, answer: str, verifier: ExactVerifier | MathVerifier = MATH) -> list[str]:
    return [hint[start:end] for start, end in find_leaks(hint, answer, verifier)]


@pytest.mark.parametrize(
    ("hint", "answer"),
    [
        (r"so we get \boxed{7}.", "7"),
        ("The answer is 7.", "7"),
        ("The final answer: **7**", "7"),
        ("Hence the answer is therefore $x = 7$.", "7"),
        ("the answer should be seven", "7"),
        ("#### 7", "7"),
        ("Answer = -7", "-7"),
        ("The result is yes", "yes"),
        ("The answer is (C).", r"\text{(C)}"),
        ("It must be option (A).", "A"),
        ("This must be D, since 3 is odd.", "D"),
        ("So the choice is E, as it is largest.", "E"),
        ("Hence it's (C).", "C"),
        ("(B) is the one.", "B"),
        ("B) is right", "B"),
        ("Pick B", "B"),
        ("Go with D!", "D"),
        ("select (C)", "C"),
        ("adding them gives 7, which is the answer", "7"),
        (r"the sum is $3 + 4 = 7$, which is the final answer", "7"),
        ("we find east as the answer", r"\text{east}"),
        ("the correct answer is 0.5", r"\frac{1}{2}"),
        (r"one half, \frac{1}{2}, of them", "0.5"),
        ("about 50% of them", "1/2"),
        (r"that is $50\%$ of all", r"\frac12"),
        ("take 1/2 here", "0.5"),
        (r"x = \dfrac{1}{2}", "1/2"),
        ("there are 1,234 ways", "1234"),
        (r"there are 10,\!080 ways", "10080"),
        ("so x = -123 works", "-123"),
        (r"the length is $\sqrt{8}$ units", r"2\sqrt{2}"),
        (r"which simplifies to 3\sqrt{13} at last", r"3\sqrt{13}"),
        (r"\(f(x) = x^2 + 1\)", "1+x^2"),
        ("so f = p - q", "p-q"),
        ("Navigation: d085", "085"),
        ("b806d085f384", "384"),
        ("a085e084", "085"),
        ("So the number you are looking for is 24.", "24"),
        ("24 is what you should report.", "24"),
        ("Your final result should read 24.", "24"),
        ("The requested sum $m+n$ is 24.", "24"),
        ("The correct value is 24.", "24"),
        ("If you got 24, you're right.", "24"),
        ("24, that's the answer!", "24"),
        ("That makes 24 our answer.", "24"),
        ("Het antwoord is 24.", "24"),
        ("Odpowiedź: 24", "24"),
        ("Cevap 24", "24"),
        ("Đáp án là 24", "24"),
        ("Jawabannya adalah 24.", "24"),
        ("الجواب هو 24", "24"),
        ("उत्तर 24 है", "24"),
        ("תשובה: 24", "24"),
        ("คำตอบคือ 24", "24"),
        ("Svaret är 24.", "24"),
        ("正确的是C", "C"),
        ("Thus B is correct.", "B"),
        ("Only option B works.", "B"),
        ("Eliminate A, C and D, leaving B.", "B"),
        ("That's option C.", "C"),
        (r"The answer is $2\le x<5$.", "[2,5)"),
        ("The answer is 5 centimeters.", r"5\text{ cm}"),
        ("The total comes to 24.", "24"),
        ("You should end up with exactly 24.", "24"),
        ("Answer (36)", "36"),
        ("The answer is a dozen.", "12"),
        ("The answer is two dozen.", "24"),
        ("The answer is half a dozen.", "6"),
        ("It must be 1.6 × 10^-19 C.", r"1.6\times10^{-19}"),
        ("the angle is pi over 6", r"\frac{\pi}{6}"),
        ("The total number of arrangements is $7!$.", "5040"),
        ("So there are 7! ways in all.", "5040"),
        (r"So it is $\begin{bmatrix}1&2\\3&4\end{bmatrix}$.", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
        (r"which gives $\begin{bmatrix}3\\-1\end{bmatrix}$", r"\begin{pmatrix}3\\-1\end{pmatrix}"),
        (r"giving $\sqrt{12}$", r"2\sqrt{3}"),
        ("B is correct.", "B"),
        ("The correct answer, 24, follows from symmetry.", "24"),
        ("The answer, then, is 36.", "36"),
        ("The answer would simply be 24!", "24"),
        ("So, the number we want is 24.", "24"),
        ('{"final_answer": "36"}', "36"),
        ("Your answer should match 24.", "24"),
        ("the answer ≈ 36", "36"),
        ("This corresponds to answer choice C.", "C"),
        ("thus the correct answer choice is (B).", "B"),
        ("the side is 3 times the square root of 5", r"3\sqrt{5}"),
        ("The answer is x = 3, y = -1.", "(3,-1)"),
        ("The answer is five centimeters.", r"5\text{ cm}"),
    ],
)
def test_statements_of_the_answer_are_found_and_redacted(hint: str, answer: str) -> None:
    spans = find_leaks(hint, answer, MATH)
    assert spans
    assert find_leaks(redact(hint, spans), answer, MATH) == []


@pytest.mark.parametrize(
    ("hint", "answer"),
    [
        ("Choose A and B on the circle.", "A"),
        ("Select A, then connect it with B.", "A"),
        ("Pick (A) or (B).", "A"),
        ("Pick point A.", "A"),
        ("The letter is A or B.", "A"),
        ("It must be A-stable.", "A"),
        ("So it is A good idea", "A"),
        ("(A) is false, and so is (C).", "A"),
        ("Mark D on BC.", "D"),
        ("It should be B's turn.", "B"),
        ("Only B depends on x; vary it.", "B"),
        ("Thus B is on the circle.", "B"),
        ("Leaving C fixed, rotate A.", "C"),
        ("Is option C correct? Check the units.", "C"),
    ],
)
def test_a_letter_that_is_no_choice_is_no_leak(hint: str, answer: str) -> None:
    assert leaked(hint, answer) == []


@pytest.mark.parametrize(
    ("hint", "answer"),
    [
        ("Use 2 equations and solve for x = 2 first", "2"),
        ("Say yes or no", "yes"),
        ("The answer is not far: add 3 and 4", "7"),
        ("Look at 1235 and 12340", "1234"),
        (r"13\sqrt{13} appears", r"3\sqrt{13}"),
        ("Compute 200-123", "-123"),
        ("x = -123", "123"),
        ("Try the ellipse", r"\text{ellipse}"),
        ("consider $x+1$ and $x-1$", "x^2-1"),
        ("anything 123", ""),
        ("To get the answer, 12 of the cases must be removed.", "12"),
        ("In the final answer, 5 appears below the line.", "5"),
        ("48/2 is the answer to a simpler question.", "24"),
        ("The answer is 36 minus something", "36"),
        ("答案是36的倍数", "36"),
        ("The number we are looking for is divisible by 4.", "4"),
        ("The total comes to 24 times the first part.", "24"),
        ("You end up with 12 cases.", "12"),
        ("Answer (a) first.", "a"),
        (r"Compute $7 \cdot 6!$ step by step.", "5040"),
        ("Divide by $7!$ in the end.", "5040"),
        ("Are there $5!/2$ ways?", "120"),
        (r"Multiply by $\begin{bmatrix}1&0\\0&1\end{bmatrix}$.", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
        (r"Compare $\begin{bmatrix}1&2\\3&5\end{bmatrix}$.", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
        ("Check whether B is correct.", "B"),
        ("A dozen eggs cost 3 dollars.", "12"),
        ("The answer is half a dozen.", "12"),
        ("The answer is 3 dozen.", "3"),
        ("B is correct only if C is.", "B"),
        ("The answer matches 8 of the cases.", "8"),
        ("The number we want is 36 less than 100.", "36"),
        ("The answer, 36 hours later, changes.", "36"),
        ("The answer is of the form a/b with a+b=12.", "12"),
        ("", "123"),
    ],
)
def test_other_text_is_left_alone(hint: str, answer: str) -> None:
    assert leaked(hint, answer) == []


def test_exact_semantics_tell_085_from_85() -> None:
    assert leaked("d85 and d085 and 0085", "085", EXACT) == ["085"]
    assert leaked("d85 and d085", "085", MATH) == ["85", "085"]


def test_hints_of_the_embedded_world_leak_only_by_the_final_state() -> None:
    for problem in make_problems("hard", 50, seed=1):
        assert leaked(problem.solution, problem.answer, EXACT)
        for level in (1, 2, 3):
            hint = problem.checkpoint(level)
            assert bool(leaked(hint, problem.answer, EXACT)) == (hint[1:] == problem.answer)


@pytest.mark.parametrize("answer", ["7", "-12", "27.0", "C", r"\text{(C)}", "yes", r"\pi", r"90^\circ", "x=5", "2k"])
def test_common_answers_are_not_distinctive(answer: str) -> None:
    assert not is_distinctive(answer)


@pytest.mark.parametrize("answer", ["085", "123", "1/2", "0.5", r"2\sqrt2", "(1,2)", "p - q", "parallelogram", "1.25"])
def test_telling_answers_are_distinctive(answer: str) -> None:
    assert is_distinctive(answer)


def test_redaction_merges_overlapping_spans() -> None:
    assert redact("abcdef", [(1, 3), (2, 4), (5, 6)]) == f"a{PLACEHOLDER}e{PLACEHOLDER}"
    assert redact("abc", []) == "abc"
    assert redact("abc", [(1, 2)], "_") == "a_c"


texts = st.one_of(
    st.text(max_size=120),
    st.text("0123456789.,-%/\\{}$=()[] xab^#", max_size=120),
    st.lists(
        st.sampled_from(
            ["the answer is ", "which is the answer", r"\boxed{", "}", "$", "12", "0.5", r"\frac", "{1}{2}", "x=", "= "]
        ),
        max_size=20,
    ).map("".join),
)


@settings(max_examples=80)
@given(texts, texts.map(lambda text: text[:40]), st.sampled_from([EXACT, MATH]))
def test_spans_are_ordered_disjoint_and_inside(hint: str, answer: str, verifier: ExactVerifier | MathVerifier) -> None:
    spans = find_leaks(hint, answer, verifier)
    borders = [border for span in spans for border in span]
    assert all(start < end for start, end in spans)
    assert borders == sorted(borders)
    assert not borders or (borders[0] >= 0 and borders[-1] <= len(hint))


@settings(max_examples=80)
@given(st.text("abc .,=$", max_size=30), st.integers(100, 99999), st.text("abc .,=$", max_size=30))
def test_a_distinctive_integer_is_found_anywhere(before: str, value: int, after: str) -> None:
    stated = before + "\n" + str(value) + "\n" + after
    for verifier in (EXACT, MATH):
        assert find_leaks(stated, str(value), verifier)
        assert find_leaks(before + after, str(value), verifier) == []


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "1,111,",
        "1 ",
        "1/",
        "$",
        r"\(",
        r"\[x",
        r"\frac{",
        "= ",
        "the answer is ",
        ", which is the answer ",
        r"\boxed{",
        "-",
        " ",
        "a",
        "#",
        ".1",
    ],
)
@pytest.mark.parametrize("answer", ["123", r"3\sqrt{13}"])
def test_long_hints_take_linear_time(unit: str, answer: str) -> None:
    start = time.process_time()
    find_leaks(unit * (50_000 // len(unit)), answer, EXACT)
    assert time.process_time() - start < 3


@pytest.mark.slow
def test_a_long_hint_full_of_numbers_and_formulas_is_bounded() -> None:
    rng = random.Random(0)
    hint = " ".join(
        f"${rng.randrange(10**6)} + \\sqrt{{{rng.randrange(10**6)}}} = {rng.random()}$" for _ in range(1500)
    )
    for answer in ("123456", r"3\sqrt{13}"):
        start = time.process_time()
        find_leaks(hint, answer, MATH)
        assert time.process_time() - start < 6


@pytest.mark.skipif(not (SHARED / "data/math500.jsonl").is_file(), reason="../shared/data is not there")
def test_announced_gold_answers_are_found() -> None:
    lines = (SHARED / "data/math500.jsonl").read_text(encoding="utf-8").splitlines()[::12]
    for answer in (json.loads(line)["answer"] for line in lines):
        assert leaked(f"Do this. The answer is ${answer}$.", answer), answer
        assert leaked(rf"Do this: \boxed{{{answer}}}.", answer), answer
