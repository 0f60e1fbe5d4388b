r"""Multiple choice: the letters of a reference answer, and those that a box or a statement names."""

from __future__ import annotations

import re
from typing import NamedTuple

from sage.grading.notation import canonical
from sage.grading.responses import Boxes
from sage.grading.splitting import LISTING, cut

_INTRODUCTION = r'(?:"(?i:the|correct|right|best|final|option|choice|answer)"|=|:)*'
_ALONE = re.compile(rf"{_INTRODUCTION}(?:([A-Ja-j])|\(([A-Ja-j])\)?|\[([A-Ja-j])\]|([A-Ja-j])\))")
# What may stand behind the letter of a choice: the text of the option, but no second choice.
_LABELLED = re.compile(
    rf'{_INTRODUCTION}(?:\(([A-Ja-j])\)|\[([A-J])\]|([A-Ja-j])\)|([A-J])(?:[.:]|(?=\(?")|(?=\(\d[^(),]*\))|-(?=["(\\])))'
    r'(?!"(?:and|or|nor)"|[,;/&+*^=<>_-])[ .:-]*(?!\(?[A-J]\)?\Z)(.+)',
    re.DOTALL,
)
_JUDGED = re.compile(r'\(?([A-J])\)?="(?:the|correct|right|best)".*', re.DOTALL)
_SEVERAL = re.compile(r"[A-J]{2,10}")


MAX_OPTION_CHARS = 2000


class Label(NamedTuple):
    """The letter of a choice with what stands behind it."""

    letter: str
    text: str


def choice(answer: str) -> str | None:
    r"""The letter of a reference answer that is a choice from A to J: ``B``, ``(B)`` or ``\text{B}``; else None."""
    match = re.fullmatch(r"([A-J])|\(([A-J])\)|\[([A-J])\]|([A-J])\)", canonical(answer))
    return match and next(filter(None, match.groups()))


def label(answer: str) -> Label | None:
    r"""Letter and value of ``\textbf{(C)}\ 12`` or ``C. 12``; None for others."""
    match = _LABELLED.fullmatch(canonical(answer))
    letter = match and (match[1] or match[3] or match[4])
    return Label(letter, match[5]) if match and letter and letter.isupper() else None


def named_choice(candidate: str) -> str | None:
    r"""The one choice that the content of a box names: ``B``, ``b``, ``(B)``, ``B. text``, ``\textbf{(B)}\ 12``; else
    None."""
    return _named(canonical(candidate))


def _named(notation: str) -> str | None:
    for pattern in (_ALONE, _LABELLED, _JUDGED):
        if match := pattern.fullmatch(notation):
            return next(filter(None, match.groups())).upper()
    return None


def choices(answer: str) -> frozenset[str]:
    """The letters of an answer of several choices, ``A, C`` or, in alphabetical order, ``AC``; empty for others."""
    notation = canonical(answer)
    if _SEVERAL.fullmatch(notation):
        return frozenset(notation) if list(notation) == sorted(set(notation)) else frozenset()
    notation = re.sub(r"\)\(", "),(", notation) if re.fullmatch(r"(?:\([A-J]\)){2,}", notation) else notation
    pieces, connectors = cut(notation, LISTING)
    pieces = [piece for piece in pieces if piece]
    if '"or"' in connectors:
        return frozenset()
    letters = [_named(piece) for piece in pieces]
    return frozenset(filter(None, letters)) if len(pieces) > 1 and None not in letters else frozenset()


_MARKUP = r"[\s*_$`\"}]*(?:\\[(\[]\s*)?"
_FONT = r"(?:\\(?:text|textbf|textrm|mathrm|mathbf|boldsymbol|operatorname)\s*\{)*"
_LETTER = rf"{_MARKUP}{_FONT}{_MARKUP}(?:\(([A-J])\)|\[([A-J])\]|([A-J])"
_NO_ARTICLE = r"(?![\w'’(]|[ \t]+(?!(?:because|since|as|which|given|due)\b)\w))"
_NO_SECOND = r"(?!\W{0,4}(?:[,/&]|or\b|and\b)\W{0,3}[A-J]\b)"
_STATED = re.compile(
    r"(?i:<answer>|\b(?:ans(?:wer)?|option|choice|correct\s+response)\"?(?:\s+to\s+(?:the|this)\s+(?:question|problem))?"
    r"\s*(?:(?:is|(?:should|must|would)\s+be)\b\s*:?|[:=])"
    r"|\b(?:respuesta|réponse|antwort|risposta|resposta|ответ)(?:\s\w{1,12})?\s?(?:\b(?:es|est|ist|è|é)\b|:)"
    rf"|(?:答案|选项)\s*(?:是|为|选)?\s*[:：]?|故?选(?:择|项)?\s*[:：]?){_MARKUP}"
    rf"(?i:(?:therefore|thus|clearly|indeed|simply|option|choice|letter)\s+)*{_LETTER}{_NO_ARTICLE}{_NO_SECOND}"
    rf"|(?i:\banswer)[\s*_:#]*\n\s*{_LETTER}(?=[\s.*_$)}}]*(?:\n|\Z)))"
    r"|(?:\(([A-J])\)|(?i:\b(?:option|choice|answer|so,?|thus,?|hence,?|therefore,?)\s+)[*_]*([A-J]))[*_]*\s+is\s+(?:the\s+)?"
    r"(?:(?:only\s+)?(?:correct|right|best)|answer)\b"
    r"|\b([A-J])[*_]*\s+is\s+the\s+(?:only\s+)?(?:correct|right|best)\s+(?:answer|option|choice)\b"
    r"|(?i:\b(?:(?:matches|corresponds\s+to|(?:which|that|this)\s+is)\s+(?:the\s+)?(?:option|choice|answer)"
    rf"|(?:i|we)(?:'ll)?\s+(?:choose|pick|select)(?:\s+(?:the\s+)?(?:option|choice|answer))?)\s*){_LETTER}{_NO_ARTICLE}{_NO_SECOND}"
)


_FULL_WIDTH = str.maketrans("（）ＡＢＣＤＥＦＧＨＩＪ", "()ABCDEFGHIJ")


def stated_choice(response: str) -> tuple[str, int] | None:
    """The choice of the last statement such as "the answer is (B)" or "Option B is correct", and where that starts;
    None if there is none."""
    last = None
    for match in _STATED.finditer(response.translate(_FULL_WIDTH)):
        last = match
    return (next(filter(None, last.groups())), last.start()) if last else None


def chosen(text: str, boxes: Boxes) -> str | None:
    """The choice that a response without thoughts comes to: in its last statement or in the boxes, the later."""
    stated = stated_choice(text)
    if stated and stated[1] >= boxes.end:
        return stated[0]
    return named_choice(boxes.final) if boxes.final and len(boxes.final) <= MAX_OPTION_CHARS else None
