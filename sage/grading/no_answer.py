r"""Reference answers that no response can reach, whatever a verifier says of them: what data sets write for none."""

from __future__ import annotations

import re

_NO_ANSWER = re.compile(
    r"proof\b.*|prove[dn]?\b.*|q\.?e\.?d|(?:see|refer to)\b.*|"
    r"none|null|nan|n/a|[+-]?inf|unknown|unsolved|omitted|missing|error|todo|tb[ad]|(?:final )?answer|notfound|"
    r"(?:no|without) (?:final |correct )?answer|"
    r"(?:answer )?not (?:found|given|known|provided|available|applicable|specified|stated|shown|required)|"
    r"#(?:n/a|(?:ref|value|null|num|spill|calc|div/0)!?|name\??)|"  # what a spreadsheet shows for a formula that fails
    r"\u65e0(?:\u7b54\u6848)?|\u672a\u77e5|(?:\u8bc1\u660e|\u89e3)?\u7565|\u8bc1\u660e|\u89c1\u89e3\u6790",  # Chinese
    re.DOTALL,
)
"""In place of an answer (*proof*, *notfound*: NuminaMath, from which OpenR1 is made)."""
_PICTURE = re.compile(
    r"!\[[^\]]*\]\([^)]*\)|\[asy\].*\[/asy\]|<img\b[^>]*>|<image>|\\includegraphics\b.*", re.DOTALL | re.IGNORECASE
)
_WRAPPER = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_AROUND = " .,;:!\"'`$()[]{}<>*\t\n"
_NOTHING = re.compile(r"(?:\\_|[?\-\u2010-\u2015_.\u2026\s$\"'`()\[\]{}])*")
_SENTENCES = re.compile(r"[a-z0-9)}$][.!?]\s+[A-Z]\w*\s+\w")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
MOST_WORDS = 20
"""The longest answer of the paper's mathematical benchmarks has 8."""
_LIST = re.compile(r"\[\s*['\"]|\{\s*['\"]")
"""How a list or dictionary begins that was written as a text."""


def is_placeholder(answer: str, words: bool = True) -> bool:
    r"""Whether a reference answer stands for none, whatever is around it: ``?``, ``-``, ``unknown``, ``\text{proof}``.

    Args:
        words: whether words are looked at; *unknown* may be an answer where texts are compared.
    """
    bare = _WRAPPER.sub(r"\1", answer)
    if _NOTHING.fullmatch(bare):
        return True
    if words and (bare.strip(_AROUND) == "NA" or _PICTURE.fullmatch(answer.strip())):  # Na is sodium
        return True
    return words and _NO_ANSWER.fullmatch(" ".join(bare.casefold().strip(_AROUND).split())) is not None


def why_no_mathematics(answer: str) -> str | None:
    """Why an answer is none where mathematics is compared, in a few words; None where it may be one.

    A whole solution in the place of an answer would verify against itself, and no model will ever write it.
    """
    lines = "\n" in answer.strip() and r"\begin" not in answer
    if lines or _SENTENCES.search(answer) or len(_WORD.findall(answer)) > MOST_WORDS:
        return "a text of several lines, sentences or many words, such as a whole solution"
    return "a list or dictionary, not one answer" if _LIST.match(answer) else None
