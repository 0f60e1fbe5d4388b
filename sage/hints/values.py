r"""Where a hint has values: numbers and formulas, in LaTeX, in plain typing and in words, as spans of characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sage.hints.spoken import CHINESE, SPOKEN_TERM

Span = tuple[int, int]

MAX_CHARS = 200
"""Longer formulas are no candidates."""
_WINDOW = 160

_SEPARATOR = r"(?:,|\{,\}|,\\!|\\[,;: ]|\{\\,\}|~|[ '_])"
_DIGITS = rf"(?:\d{{1,3}}(?:{_SEPARATOR}\d{{3}}(?!\d)){{1,9}}|\d+)(?:\.\d+)?|(?<![\d.])\.\d+"
_PART = r"(?:\{[^{}]{1,40}\}|\d)"
# The look-behinds let every run of digits be tried once, which keeps the search linear.
_COMPOSITE = re.compile(
    rf"(?:(?<!\d)\d+\s?)?\\[dtc]?frac\s?{_PART}\s?{_PART}"
    rf"|(?<!\d)(?:(?:\d+ )?(?:{_DIGITS})\s?/\s?(?:{_DIGITS})"
    rf"|(?:{_DIGITS})\s?(?:\\?%|(?:\\times|\\cdot|[*×·x])\s?10(?:\^\{{?-?\d+\}}?|[⁻⁰¹²³⁴-⁹]+)|[eE][+-]?\d{{1,3}}(?!\d)))"
    rf"|(?<!\d)\d+(?:\.\d+)? (?:thousand|million|billion)\b|(?<!\d)\d+(?: times)? (?:the )?square root of \d+"
    rf"|(?<!\d)\d*[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]"
)
_NUMBER = re.compile(_DIGITS)
_INTEGER = re.compile(r"(?<!\d)(?<!\d\.)\d+(?!\d|\.\d)")
_FORMULA = re.compile(
    r"\$\$?([^$]{1,200})\$|\\\(([^\\]*(?:\\[^)][^\\]*){0,40})\\\)|\\\[([^\\]*(?:\\[^\]][^\\]*){0,40})\\\]"
)
_RIGHT_SIDE = re.compile(r"(?:=|\\approx|\\to|→|≈|\bequals\b)\s*([^=\n$;≈→]{1,80})")
# Mathematics outside dollars: numbers, single letters, commands, names such as sqrt, signs.
_RUN = re.compile(
    r"(?:\d|\\[A-Za-z]+|\\[{}]|(?<![A-Za-z])(?:sqrt|cbrt|pi|[A-Za-z])(?![A-Za-z])|[-+*/^_=<>≤≥√∛π∞°±×·⋅(){}\[\]|!:.²³]"
    r"|(?<=\d),(?=\d)|, (?=[-\d\\√]|[a-z]\b)| (?=[-+*/=<>≤≥√π\d\\(]|sqrt\b|pi\b|[b-z]\b)| over (?=\d))+",
)
_ASSIGNED = re.compile(r"[\s$*({\\\[]{0,5}\S{1,10}?\s{0,2}(?==)")
_CLAUSE_END = re.compile(
    r"[.;,!?。、](?=\s|\Z|[^\x00-\x7f])|[。、]|\n|\s-{1,2}\s(?![-\d\\$(])"
    r"|(?<=\S)\s+(?:so|since|because|as|and|which|when|after|by|if)\s"
)
_SENTENCE_END = re.compile(r"[.;!?。](?=\s|\Z|[^\x00-\x7f])|。|\n")
# A word that is all of the value: what follows is punctuation, a reason or the end.
_WORD = re.compile(
    r"""\(?[A-Za-z]+\)?(?=[*_$"'})]{0,4}(?:\s{0,2}[.,;:!?。()\n]|\s{0,9}\Z|[^\x00-\x7f]
    |\s{1,2}(?:because|since|as|so|and|for|by|which|in|here|due)\b))""",
    re.VERBOSE,
)
_LAST_WORD = re.compile(r"([A-Za-z]{1,40})\W{0,3}\Z")
_PROSE = re.compile(r"(?<![\\A-Za-z])(?!times)[A-Za-z]{2,}")
_CONDITION = re.compile(r"\b(?:with|where|such that|for which|whose|satisfying|if|when)\b.*=", re.DOTALL)
_NAME_IN_FRONT = re.compile(r"(?<![A-Za-z])[A-Za-z]\s?=\s{0,3}\Z")
_MINUS = re.compile(r"-\s?\Z")
# What makes more of a number than itself: an operation, a root or variable as a factor, a ratio, "2 or more".
_GOES_ON = re.compile(
    r"""\}?\$?(?:
    \s?(?:[+*/×÷·⋅±√π]|\\(?:times|cdot|div|pm|over|pi|sqrt|d?frac)\b|:(?=\d)|-\s?(?=[\d\\$(]))|-(?=[A-Za-z])
    |\s?(?:times|percent|%|pi|root|sqrt|squared|cubed|(?:raised\s)?to\sthe|over\s\d|mod|modulo)\b
    |\s(?:more|less|fewer|greater|larger|smaller|bigger|longer|shorter|plus|minus|multiplied|divided|digits?|decimals?
      |point|dozen|hundred|thousand|million|halves|thirds|quarters|fourths|fifths|sixths|steps?|equations?|cases|unknowns
      |expressions?|or\smore|or\sless)\b
    |(?<=[Oo]ne)\sof\b|位|的(?=[倍因约])|(?<=[一两])[个种些定样般直]
    |\s?\^(?!\s?\{?\\circ)|!\s?(?=[\w/*+-])|(?:st|nd|rd|th)\b|[.,]\d
    |(?:[bcefijknopqrtuvwxyzBDEGIMOPQRSTUXYZ]|[a-z]\^)(?![A-Za-z])|\((?!\w{2,})|\s[x-z](?![A-Za-z]))""",
    re.VERBOSE,
)
_PART_OF_MORE = re.compile(
    r"(?:\b(?:half|twice|double|triple|thrice|third|quarter|times|plus|minus|percent|%)(?:\s(?:of|the|a))*"
    r"|[+*/^×·]|\\times|\\cdot)\s?\$?\Z",
    re.IGNORECASE,
)
# What makes a fraction or percentage the coefficient of something.
_FACTOR = re.compile(
    r"""(?!\s[ACFJKNTVW](?![A-Za-z]))\s?(?:[b-zB-Z](?![A-Za-z])|\()|(?<=\})[a-z]
    |\s?\\[a-z]{1,12}(?<!text)(?<!mathrm)(?<!quad)(?<!times)(?<!cdot)(?<!to)(?![A-Za-z])""",
    re.VERBOSE,
)
_SAID = re.compile(
    r"""(?:(?<!hat\s)(?<!hat's\s)\b(?:is|are|be|equals?|equal\sto|giv(?:es?|ing)(?:\sus)?|gets?|got|obtains?|reach(?:es)?|yields?
      |becomes?|comes\sto|simplif(?:ies|y)\sto|reduces\sto|evaluates\sto|leaves|as|produces)
    |[=≈:→]|\\approx|\\to)[\s${(\[*_]{0,6}\Z""",
    re.IGNORECASE | re.VERBOSE,
)
_PARTNER = {"(": ")", "[": "]", "{": "}", ")": "(", "]": "[", "}": "{"}


def values_after(hint: str, position: int) -> Iterator[Span]:
    """The values that may stand at a position, right behind a cue."""
    window = hint[position : position + _WINDOW]
    for pattern in (_CLAUSE_END, _SENTENCE_END):
        end = pattern.search(window)
        part = window[: end.start() if end else len(window)].rstrip(" .*_")
        if "=" in part and (name := _NAME_IN_FRONT.search(hint, max(0, position - 6), position)):  # x = 3, y = -1
            yield name.start(), position + len(part)
        if not _CONDITION.search(part, 0, part.rfind("=") + 1):
            yield position, position + len(part)
        if "=" in part and not _PROSE.search(part, 0, part.rindex("=")):
            yield position + part.rindex("=") + 1, position + len(part)
    offset = len(window) - len(window.lstrip(" $*_({[\\\"'`"))
    if match := _FORMULA.match(window):
        yield position + match.start(), position + match.end()
    for pattern in (_COMPOSITE, _NUMBER, _INTEGER, SPOKEN_TERM, CHINESE):
        for skipped in {0, offset}:
            sign = window[skipped : skipped + 1] == "-"
            match = pattern.match(window, skipped + sign)
            if match and not _GOES_ON.match(window, match.end()):
                yield position + skipped, position + match.end()
    for skipped in {0, offset}:
        if match := _WORD.match(window, skipped):
            yield position + match.start(), position + match.end()
        if (match := _RUN.match(window, skipped)) and not _GOES_ON.match(window, match.end()):
            yield from _pieces(hint, position + match.start(), position + match.end())
    if (name := _ASSIGNED.match(window)) and (right := _RIGHT_SIDE.match(window, name.end())):
        yield position + right.start(1), position + right.end(1)
        match = _COMPOSITE.match(window, right.start(1)) or _NUMBER.match(window, right.start(1))
        if match and not _GOES_ON.match(window, match.end()):
            yield position + match.start(), position + match.end()


def values_before(hint: str, end: int) -> Iterator[Span]:
    """The values that may end at a position, right before a cue."""
    start = max(0, end - _WINDOW)
    spans = [span for span, _ in mentions(hint, start, end)]
    spans += [match.span() for pattern in (SPOKEN_TERM, CHINESE) for match in pattern.finditer(hint, start, end)]
    for span in spans:
        if span[1] >= end - 3 and not _PART_OF_MORE.search(hint, start, span[0]):
            yield span
    if word := _LAST_WORD.search(hint, start, end):
        yield word.span(1)


def mentions(hint: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[Span, bool]]:
    """Everything that could be the answer, the more telling forms first, and whether something is said to be it."""
    stop = len(hint) if stop is None else stop
    for match in _FORMULA.finditer(hint, start, stop):
        yield match.span(match.lastindex or 0), _is_said(hint, match.start())
    for match in _RIGHT_SIDE.finditer(hint, start, stop):
        begin, end = match.span(1)
        clause = _CLAUSE_END.search(hint, begin, end)
        yield (begin, clause.start() if clause else end), True
    for match in _RUN.finditer(hint, start, stop):
        cut = hint[match.end() : match.end() + 1].isalpha()  # within a word, or a product of variables
        for span in _pieces(hint, *match.span()):
            if not (cut and span[1] == match.end()):
                yield span, _is_said(hint, span[0])
    for pattern in (_COMPOSITE, _NUMBER, _INTEGER):
        for match in pattern.finditer(hint, start, stop):
            begin, end = match.span()
            if pattern is _COMPOSITE and (
                _FACTOR.match(hint, end) or hint[max(0, begin - 2) : begin].endswith(("^", "^{"))
            ):
                continue
            minus = _MINUS.search(hint, max(0, begin - 2), begin)
            if minus and not re.search(r"[\w)}\]]\s?\Z", hint[max(0, minus.start() - 2) : minus.start()]):
                begin = minus.start()
            yield (begin, end), _is_said(hint, begin)


def _is_said(hint: str, place: int) -> bool:
    return _SAID.search(hint, max(0, place - 24), place) is not None


def _pieces(hint: str, start: int, end: int) -> Iterator[Span]:
    """A run of mathematics and its parts: what equations equate, and the items of a list; at most a few."""
    text = hint[start:end]
    if end - start > MAX_CHARS or not re.search(r"[A-Za-zπ√\d]", text):
        return
    borders = [0, *(m.end() for m in re.finditer(r"=|, |:(?!\d)", text)), len(text) + 1]
    starts = {0, *borders[1:-1]}
    for begin in sorted(starts)[:8]:
        stops = {len(text), next(b for b in borders if b > begin) - 1}
        for stop in stops:
            if span := _trimmed(text, begin, stop):
                yield start + span[0], start + span[1]


def _trimmed(text: str, start: int, end: int) -> Span | None:
    """Without blanks, punctuation and brackets that have no partner at its ends."""
    while start < end:
        part = text[start:end]
        first, last = part[0], part[-1]
        if first in " .,:=*)]}<>/|!^_+" or (first in "([{" and part.count(first) > part.count(_PARTNER[first])):
            start += 1
        elif last in " .,:=*([{<>/|^_+-" or (last in ")]}" and part.count(last) > part.count(_PARTNER[last])):
            end -= 1
        else:
            return (start, end) if len(part) > 1 else None
    return None
