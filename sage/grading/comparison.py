"""Whether two answers are the same, kind by kind. Mathematics is asked about single expressions only.

A verdict is None where mathematics has to decide and the caller has none to ask.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from sage.grading.answers import letters, number, same_number
from sage.grading.choices import choice, choices, label, named_choice
from sage.grading.kinds import Congruence, Kind, Limited, Listing, Matrix, Named, Phrase, Text, Value, parse
from sage.grading.names import has_to_be_solved, is_simple, same_name
from sage.grading.notation import canonical, without_degrees
from sage.grading.regions import INFINITY, Chain, Region, Span, bounded
from sage.grading.splitting import cut
from sage.grading.words import UNIT_LETTERS, may_miss, may_miss_words, remark

Mathematics = Callable[[str, str], "bool | None"]
"""Whether two expressions without words are equal, the candidate's first; None if that is not known."""
MAX_PAIRS = 1000
"""Elements of lists that are compared with each other without mathematics."""


def compare(candidate: str, answer: str, mathematics: Mathematics | None = None) -> bool | None:
    """Whether two bare answers are the same; without mathematics, None where text and plain numbers do not decide."""
    if letter := choice(answer):
        return letter == named_choice(candidate)
    if (letters_wanted := choices(answer)) and ((found := choices(candidate)) or '"or"' in canonical(candidate)):
        return found == letters_wanted
    if (order := _capitals(answer)) and order == _capitals(candidate):
        return True
    labelled, wanted = label(candidate), None if _OF_A_FUNCTION.fullmatch(canonical(answer)) else label(answer)
    if wanted:
        if named := named_choice(candidate):
            return named == wanted.letter and (not labelled or _compare(labelled.text, wanted.text, mathematics))
        return _compare(canonical(candidate), wanted.text, mathematics)
    verdict = _compare(canonical(candidate), canonical(answer), mathematics)
    if labelled and not verdict:
        return _any((verdict, _compare(labelled.text, canonical(answer), mathematics)))
    return verdict


def _compare(left: str, right: str, mathematics: Mathematics | None) -> bool | None:
    """As `compare`, of canonical notations that are no choices."""
    if not left or not right:
        return False
    if _closed_up(left) == _closed_up(right):
        return True
    left_number, right_number = (number(without_degrees(side)) for side in (left, right))
    if left_number is not None and right_number is not None:
        return same_number(left_number, right_number)
    return _Comparison(mathematics).same(parse(left), parse(right))


def _capitals(answer: str) -> str | None:
    """Four capitals or more in an order, whatever separates them: ``BADC``, ``B, A, D, C``; None for others."""
    text = re.sub(r"(?<=[A-Z])(?:[, >-]|\\to ?)+(?=[A-Z])", "", canonical(answer))
    return text if re.fullmatch("[A-Z]{4,}", text) else None


def _closed_up(text: str) -> str:
    """Text without the blanks, braces and quotes that change nothing: who writes 45,135 may mean 45, 135."""
    text = re.sub(r"(?<=_)\{(\w+)\}(?!\d)|(?<=\^)\{(\d+|\w)\}(?!\d)", r"\1\2", text)
    return re.sub(r"(?<!\d) | (?!\d)", "", text.replace('"', ""))


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    known: bool | None = True
    for verdict in verdicts:
        if verdict is False:
            return False
        known = known and verdict
    return known


def _any(verdicts: Iterable[bool | None]) -> bool | None:
    known: bool | None = False
    for verdict in verdicts:
        if verdict:
            return True
        known = None if verdict is None else known
    return known


class _Comparison:
    """Of a candidate's kinds, always on the left, with the answer's."""

    def __init__(self, mathematics: Mathematics | None) -> None:
        self._mathematics = mathematics

    def same(self, left: Kind, right: Kind) -> bool | None:
        if left == right:
            return True
        left, right = _alone(left), _alone(right)
        if isinstance(left, Limited) or isinstance(right, Limited):
            return self._limited(left, right)
        if isinstance(left, Named) or isinstance(right, Named):
            return self._named(left, right)
        if isinstance(left, Congruence) or isinstance(right, Congruence):
            return self._congruent(left, right)
        if isinstance(left, (Region, Chain)) or isinstance(right, (Region, Chain)):
            return self._regions(left, right)
        if isinstance(left, Listing) and isinstance(right, Listing):
            return self._listings(left, right)
        if isinstance(left, Value) and isinstance(right, Value):
            return self._values(left, right)
        if isinstance(left, Text) and isinstance(right, Text):
            return may_miss_words(left.words, right.words)
        if isinstance(left, (Text, Value)) and isinstance(right, (Text, Value)):
            texts = [" ".join(side.words) if isinstance(side, Text) else side.math.lower() for side in (left, right)]
            if texts[0] == texts[1]:
                return True
        if isinstance(left, Phrase) and isinstance(right, Phrase):
            return left.words == right.words and self._in_order(left.values, right.values)
        if isinstance(left, Matrix) or isinstance(right, Matrix):
            return self._matrices(left, right)
        return {_emptiness(left), _emptiness(right)} == {True}

    def _in_order(self, left: Sequence[Kind], right: Sequence[Kind]) -> bool | None:
        return len(left) == len(right) and _all(map(self.same, left, right))

    def _limited(self, left: Kind, right: Kind) -> bool | None:
        if isinstance(left, Limited) and isinstance(right, Limited):
            return _all((self.same(left.item, right.item), self.same(left.condition, right.condition)))
        if isinstance(left, Limited):
            return not left.binding and self.same(left.item, right)
        assert isinstance(right, Limited)
        return not right.binding and self.same(left, right.item)

    def _named(self, left: Kind, right: Kind) -> bool | None:
        if isinstance(left, Named) and isinstance(right, Named):
            if same_name(left.name, right.name):
                items = _all((self.same(left.item, right.item), self._between(left, right)))
                return _any((items, self._equations(left, right)))
            if is_simple(left.name) and is_simple(right.name) and (_is_constant(left.item) or _is_constant(right.item)):
                return False
            return self._equations(left, right)
        if isinstance(left, Named):
            value = _any(self.same(item, right) for item in (left.item, left.exact) if item)
            if chosen := _CHOSEN.fullmatch(left.whole):
                return _any((value, self.same(Value(rf"\binom{{{chosen[1]}}}{{{chosen[2]}}}"), right)))
            if has_to_be_solved(left.name):
                return False  # 2x = 6, where the answer is 3
            if left.name and not letters(left.name) and not is_simple(left.name) and isinstance(right, Value):
                return _all((value, self.same(Value(left.name), right)))
            return value
        assert isinstance(right, Named)
        if not is_simple(right.name) and right.name:
            return False
        return _any(self.same(left, item) for item in (right.item, right.exact) if item)

    def _between(self, left: Named, right: Named) -> bool | None:
        """Whether what stands between the first and the last side, as in a=b=c, is in the other or the same as its end;
        of symbols that have a value, whether what the answer says is."""
        ours, theirs = (
            [Value(s) for s in cut(side.whole, {"="})[0][1:-1] if letters(s) and '"' not in s] for side in (left, right)
        )
        known = [self._among(side, (*ours, left.item)) for side in theirs]
        if not is_simple(left.name):
            known += [self._among(side, (*theirs, right.item)) for side in ours]
        return _all(known)

    def _among(self, item: Kind, others: Sequence[Kind]) -> bool | None:
        return _any(self.same(other, item) for other in others)

    def _equations(self, left: Named, right: Named) -> bool | None:
        whole = left.whole + right.whole
        if '"' in whole or r"\approx" in whole:
            return False
        if whole.count("=") > 2:
            return self._in_order(*([Value(s) for s in cut(side.whole, {"="})[0]] for side in (left, right)))
        if is_simple(left.name) and left.name == right.name and not letters(left.whole) - letters(left.name):
            return False
        return self._mathematical(left.whole, right.whole)

    def _congruent(self, left: Kind, right: Kind) -> bool | None:
        if isinstance(left, Congruence) and isinstance(right, Congruence):
            if left.name and right.name and left.name != right.name:
                return False
            modulus = number(left.modulus)
            residues = [self._reduced(side.residues, modulus.value if modulus else 0) for side in (left, right)]
            return _all((self._mathematical(left.modulus, right.modulus), self.same(*residues)))
        if isinstance(left, Congruence):
            return self.same(left.residues, right)
        assert isinstance(right, Congruence)
        return not right.name and self.same(left, right.residues)

    def _reduced(self, residues: Kind, modulus: object) -> Kind:
        if isinstance(residues, Listing):
            return Listing(tuple(self._reduced(item, modulus) for item in residues.items), residues.ordered)
        value = number(residues.math) if isinstance(residues, Value) else None
        return Value(str(value.value % modulus)) if value and modulus else residues  # type: ignore[operator]

    def _regions(self, left: Kind, right: Kind) -> bool | None:
        if isinstance(left, Chain) and isinstance(right, Chain):
            if left.signs == right.signs and self._in_order(
                *([Value(s) for s in side.sides] for side in (left, right))
            ):
                return True
            return self._mathematical(left.whole, right.whole)
        left, right = _region(left), _region(right)
        if not isinstance(left, Region) or not isinstance(right, Region):
            return False
        if any("\\mathbb" in side.name for side in (left, right)):  # all integers n at least 3
            over = [side.name.rpartition("}")[2] for side in (left, right)]
            return over[0] == over[1] in set("ijklmnpq") and self._unordered(left.spans, right.spans, self._spans)
        if left.name != right.name and any(map(_is_to_solve, (left, right))):
            plain = all(not side.name or is_simple(side.name) or _is_to_solve(side) for side in (left, right))
            same_variable = len(letters(left.name) | letters(right.name)) == 1
            return plain and same_variable and self._mathematical(left.written, right.written)
        names: bool | None = not left.name or not right.name or left.name == right.name
        if not names and not (is_simple(left.name) and is_simple(right.name)):
            names = self._mathematical(left.name, right.name)
        return _all((names, self._unordered(left.spans, right.spans, self._spans)))

    def _spans(self, left: Span, right: Span) -> bool | None:
        if (left.has_low, left.has_high) != (right.has_low, right.has_high):
            return False
        return _all((self._bounds(left.low, right.low), self._bounds(left.high, right.high)))

    def _bounds(self, left: str, right: str) -> bool | None:
        if INFINITY in left or INFINITY in right:
            return left == right
        return self.same(parse(left), parse(right))

    def _listings(self, left: Listing, right: Listing) -> bool | None:
        if not may_miss(left.remark, right.remark):
            return False
        if left.ordered != right.ordered:
            named, point = (right, left) if left.ordered else (left, right)
            items = _by_name(named)
            if items is None:
                return False
            return self._in_order(*((items, point.items) if named is left else (point.items, items)))
        if left.ordered:
            return self._in_order(left.items, right.items)
        if (values := _by_letter(right)) and not any(isinstance(item, Named) for item in left.items):
            return self._in_order(left.items, values)  # who leaves the names out has to keep their order
        return self._unordered(left.items, right.items, self.same)

    def _unordered(self, left: Sequence, right: Sequence, same: Callable) -> bool | None:
        """Whether each element of one is in the other, repetitions aside."""
        left, right = list(dict.fromkeys(left)), list(dict.fromkeys(right))
        rest = [item for item in left if item not in right], [item for item in right if item not in left]
        if self._mathematics is None and len(rest[0]) * len(rest[1]) > MAX_PAIRS:
            return None
        if len(left) == len(right) and not rest[0]:
            return True
        table = [[same(a, b) for b in right] for a in left]
        rows = (_any(row) for row in table)
        columns = (_any(row[k] for row in table) for k in range(len(right)))
        return _all((*rows, *columns))

    def _matrices(self, left: Kind, right: Kind) -> bool | None:
        if isinstance(left, Matrix) and isinstance(right, Matrix):
            if [len(row) for row in left.rows] != [len(row) for row in right.rows]:
                return False
            return _all(self._in_order(*rows) for rows in zip(left.rows, right.rows, strict=True))
        return self._in_order(*vectors) if None not in (vectors := (_vector(left), _vector(right))) else False  # type: ignore[arg-type]

    def _values(self, left: Value, right: Value) -> bool | None:
        left, right = _with_letter_as_unit(left, right, True), _with_letter_as_unit(right, left, False)
        left, right = _on_24_hours(left, right), _on_24_hours(right, left)
        hours = [bool({"am^1", "pm^1"} & side.remark) and ":" not in side.math for side in (left, right)]
        if any(hours):  # 3 am may be 3:00, but is no ratio
            left, right = (Value(side.math.removesuffix(":00"), side.remark) for side in (left, right))
            if ":" in left.math + right.math:
                return False
        degrees = ("degree" in left.remark, "degree" in right.remark)
        if not may_miss(left.remark, right.remark):
            return False
        if degrees[0] != degrees[1] and r"\pi" in left.math + right.math:
            values = (
                value.math + (r"\degree " if degree else "")
                for value, degree in zip((left, right), degrees, strict=True)
            )
            return self._mathematical(*values)
        return self._mathematical(left.math, right.math)

    def _mathematical(self, left: str, right: str) -> bool | None:
        """Of two expressions without words."""
        if left == right:
            return True
        if '"' in left or '"' in right:
            return False
        left_number, right_number = number(left), number(right)
        if left_number is not None and right_number is not None:
            return same_number(left_number, right_number)
        angles = [_ANGLE.fullmatch(side) for side in (left, right)]
        if angles[0] and angles[1]:
            return angles[0][1] == angles[1][1][::-1]
        if ":" in left + right:  # times and ratios; 3:4 is 3/4
            parts = left.split(":"), right.split(":")
            if all(len(each) > 1 for each in parts):
                same = map(self._mathematical, *parts) if len(parts[0]) == len(parts[1]) else [False]
                return _all(same)
            if any(len(each) > 2 for each in parts):
                return False
        texts = _closed_up(left), _closed_up(right)
        if texts[0] == texts[1]:
            return True
        if _BASED.fullmatch(texts[0]) and right_number is not None and len(texts[1]) > 1:
            return texts[0].endswith("_10") and self._mathematical(texts[0].removesuffix("_10"), right)
        if _BASED.fullmatch(texts[1]) and re.fullmatch(r"[\dA-F]+", texts[0]):
            return texts[0].lstrip("0") == texts[1].partition("_")[0].lstrip("0")
        if all(_BASED.fullmatch(text) for text in texts):  # math-verify drops the base of 52_8, also where they differ
            return texts[0].lstrip("0") == texts[1].lstrip("0")
        if all(re.fullmatch("[A-Za-z]+", text) for text in texts) and (
            any(text.isupper() or len(text) > 3 for text in texts) or len(texts[0]) != len(texts[1])
        ):
            return len(texts[0]) > 3 and texts[0].lower() == texts[1].lower()
        return self._mathematics(left, right) if self._mathematics else None


_NO_SOLUTION = re.compile("no (?:real )?solution(?: exist)?")
_CHOSEN = re.compile(r"C\(([^(),]+),([^(),]+)\)")
_OF_A_FUNCTION = re.compile(r"[A-J]\(\d+\)")
_ANGLE = re.compile(r"\\angle ?([A-Z]{3})")
_BASED = re.compile(r"[+-]?\d[\w.]*_\d+|[A-F][\dA-F]*_\d\d+")


def _alone(kind: Kind) -> Kind:
    """The element of a set of one that is no member of another."""
    if isinstance(kind, Listing) and not (kind.ordered or kind.remark) and len(kind.items) == 1:
        return kind.items[0]
    return kind


def _emptiness(kind: Kind) -> bool:
    return kind == Value(r"\emptyset") or (
        isinstance(kind, Text) and _NO_SOLUTION.fullmatch(" ".join(kind.words)) is not None
    )


def _is_constant(kind: Kind) -> bool:
    return isinstance(kind, Value) and not letters(kind.math)


def _region(kind: Kind) -> Kind:
    """A pair in round brackets read as an open interval."""
    if isinstance(kind, Listing) and kind.ordered and len(kind.items) == 2:
        low, high = kind.items
        if isinstance(low, Value) and isinstance(high, Value):
            return Region("", (bounded(low.math, False, high.math, False),))
    return kind


def _is_to_solve(region: Region) -> bool:
    """Whether it says 2x > 5 and not a + b > 5, which is about a quantity that has no other name."""
    return bool(region.whole) and not is_simple(region.name) and len(letters(region.name)) == 1


def _by_name(listing: Listing) -> list[Kind] | None:
    """The values of x=1, y=2 in the order of their names; None if not all have different ones."""
    named = [item for item in listing.items if isinstance(item, Named)]
    names = [item.name for item in named]
    if len(named) < len(listing.items) or len(set(names)) < len(names):
        return None
    if all(len(name) == 1 for name in names):
        named.sort(key=lambda item: item.name)
    return [item.item for item in named]


def _by_letter(listing: Listing) -> list[Kind] | None:
    """As `_by_name`, where the names are no numbered ones, whose order means nothing."""
    numbered = any(isinstance(item, Named) and "_" in item.name for item in listing.items)
    return None if numbered else _by_name(listing)


def _vector(kind: Kind) -> tuple[Kind, ...] | None:
    if isinstance(kind, Matrix) and all(len(row) == 1 for row in kind.rows):
        return tuple(row[0] for row in kind.rows)
    if isinstance(kind, Matrix) and len(kind.rows) == 1:
        return kind.rows[0]
    return kind.items if isinstance(kind, Listing) and kind.ordered else None


def _on_24_hours(value: Value, other: Value) -> Value:
    """6:15 pm as 18:15, where the other side is written so."""
    match = re.fullmatch(r"([1-9]|1[01])(:\d\d)", value.math)
    if not match or value.remark != {"pm^1"} or other.remark or not re.fullmatch(r"(?:1[3-9]|2[0-3]):\d\d", other.math):
        return value
    return Value(f"{int(match[1]) + 12}{match[2]}")


_LETTER_UNIT = rf"[{UNIT_LETTERS}](?:\^(?:\d|\{{-\d\}}))?"
_LETTER_FRACTION = re.compile(rf"\\frac\{{({_LETTER_UNIT})\}}\{{({_LETTER_UNIT})\}}")
_LETTER_UNITS = re.compile(rf"(.*[\d}}])( ?)({_LETTER_UNIT}(?:(?:[ /]|\\cdot ?){_LETTER_UNIT})*)")


def _with_letter_as_unit(value: Value, other: Value, may_be_missing: bool) -> Value:
    r"""``5 m``, ``5\frac{m}{s}`` with a unit, where the other side has one or, if it may miss one, a value without
    letters."""
    match = _LETTER_UNITS.fullmatch(_LETTER_FRACTION.sub(r" \1/\2", value.math))
    if not match or value.remark or letters(other.math) or not (other.remark or may_be_missing):
        return value
    unit = remark(re.sub("[A-Za-z]", r'"\g<0>"', match[3].replace(r"\cdot", "")))
    return Value(match[1], unit) if match[2] or unit == other.remark else value
