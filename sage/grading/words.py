r"""Which letters of an answer are words and not variables, and what words next to a value say.

In the notation of this room a word stands in double quotes: ``12"cm"``, ``n"is""odd"``.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache


def names(text: str) -> list[str]:
    """Names that are written with blanks between them."""
    return text.split()


_UNITS = {
    "mm": "millimeter millimetre", "cm": "centimeter centimetre", "dm": "decimeter decimetre", "m": "meter metre",
    "km": "kilometer kilometre", "nm": "nanometer nanometre", "in": "inch", "ft": "foot feet", "yd": "yard",
    "mi": "mile", "mg": "milligram", "g": "gram gramme gm", "kg": "kilogram kilo kilogramme", "lb": "pound",
    "oz": "ounce", "t": "ton tonne", "ml": "milliliter millilitre", "l": "liter litre", "gal": "gallon", "qt": "quart",
    "ms": "millisecond", "s": "second sec", "min": "minute", "h": "hour hr", "day": "", "wk": "week", "yr": "year",
    "hz": "hertz", "khz": "kilohertz", "mhz": "megahertz", "n": "newton", "j": "joule", "kj": "kilojoule", "w": "watt",
    "kw": "kilowatt", "v": "volt", "a": "ampere amp", "ohm": "", "k": "kelvin", "pa": "pascal", "kpa": "kilopascal",
    "mol": "mole", "ev": "electronvolt", "rad": "radian", "rev": "revolution", "celsius": "degc",
    "fahrenheit": "degf", "atm": "atmosphere", "dollar": "$ usd buck", "cent": "", "euro": "eur", "yen": "jpy",
    "sterling": "gbp", "yuan": "rmb cny", "rupee": "inr rs", "am": "", "pm": "", "unit": "", "box": "boxes",
    "db": "decibel",
}  # fmt: skip
_NAMES = {name: unit for unit, names in _UNITS.items() for name in (unit, *names.split())}
_UNITS_IN_TEXT = {
    "c": "coulomb", "wb": "weber", "mv": "millivolt", "kv": "kilovolt", "megav": "megavolt", "ma": "milliamp",
    "mw": "milliwatt", "megaw": "megawatt", "mj": "millijoule", "megaj": "megajoule", "kn": "kilonewton",
    "megan": "meganewton", "megapa": "megapascal", "kev": "kiloelectronvolt", "megaev": "megaelectronvolt",
    "gev": "gigaelectronvolt", "cal": "calorie", "kcal": "kilocalorie", "ns": "nanosecond", "ha": "hectare",
    "dl": "deciliter decilitre", "cl": "centiliter centilitre", "microm": "um micron micrometer micrometre",
    "microg": "ug mcg microgram", "micros": "microsecond", "microc": "microcoulomb", "microf": "microfarad",
    "microl": "ul microliter microlitre", "microa": "microamp microampere",
}  # fmt: skip
"""Units that are products of variables where no text marks them."""
_NAMES_IN_TEXT = _NAMES | {name: unit for unit, names in _UNITS_IN_TEXT.items() for name in (unit, *names.split())}
_MEGA = re.compile("M(?:W|J|Pa|V|eV|N)")
_PRODUCTS = frozenset(("mg", "gm", "ms", "nm", "hr"))
"""Units of two letters that are as likely products of variables, where no value is in front."""
_COMPOUND = {
    "mph": {"mi": 1, "h": -1}, "kmh": {"km": 1, "h": -1}, "kph": {"km": 1, "h": -1}, "kmph": {"km": 1, "h": -1},
    "mps": {"m": 1, "s": -1}, "fps": {"ft": 1, "s": -1}, "rpm": {"rev": 1, "min": -1}, "sqft": {"ft": 2},
}  # fmt: skip
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_POWERS_BEHIND = {"squared": 2, "cubed": 3}
UNIT_LETTERS = "ACFJKLNTVWghlmst"
_FUNCTIONS = frozenset(
    names(
        "sin cos tan cot sec csc cis arcsin arccos arctan sinh cosh tanh log ln lg exp lcm gcd sqrt mod det deg "
        "re im var cov sgn arg"
    )
)
_UNITS_LIKE_FUNCTIONS = frozenset(("sec", "deg"))
_SHORT = frozenset(name for name in (*_NAMES, *_COMPOUND, *_POWERS) if 1 < len(name) < 4) | frozenset(
    names(
        "is are was has and or if not the to of for all any no yes odd per lbs yds hrs yrs kgs by at its it both "
        "bag cat dog car cup "
        "men man boy pen egg max red tan top up an usd dne row one two six ten"
    )
)
"""Words of two and three letters; other such runs of letters are products of variables."""
_SILENT = frozenset(
    names(
        "a an the about approximately approx roughly around exactly only just total altogether long "
        "wide tall high deep "
        "old away each of on at answer ans result final correct"
    )
)
"""Words that say nothing beside a value."""
BINDING = frozenset(
    names(
        "not no never none except without least most more less fewer greater below above under over "
        "between nor neither "
        "january february march april may june july august september october november december "
        "jan feb apr jun jul aug sept oct nov dec monday tuesday wednesday thursday friday saturday sunday "
        "undefined wrong bc bce half twice double triple dozen hundred thousand every all false incorrect "
        "impossible must cannot too such axis"
    )
)
"""Words that a value may not lose."""
_ARTICLES = frozenset(("a", "an", "the"))
_CARDINALS = {
    name: value
    for value, name in enumerate(
        names(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
            "fifteen sixteen seventeen "
            "eighteen nineteen twenty"
        )
    )
} | dict(zip(names("thirty forty fifty sixty seventy eighty ninety"), range(30, 100, 10), strict=True))
_LARGE = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_PHRASES = {
    "less than or equal to": r"\le ", "greater than or equal to": r"\ge ", "no more than": r"\le ",
    "no less than": r"\ge ", "at least": r"\ge ", "at most": r"\le ", "greater than": ">", "more than": ">",
    "less than": "<", "fewer than": "<", "not equal to": r"\ne ", "is equal to": "=", "equal to": "=", "equals": "=",
    "equal": "=", "is": "=", "are": "=", "plus or minus": r"\pm ", "percent": "%", "per cent": "%",
    "degrees": r"\degree ", "degree": r"\degree ", "deg": r"\degree ", "infinity": r"\infty ", "union": r"\cup ",
    "minus": "-", "negative": "-", "all real numbers": r"\mathbb{R}", "all reals": r"\mathbb{R}",
    "all real": r"\mathbb{R}", "real numbers": r"\mathbb{R}", "all integers": r"\mathbb{Z}",
    "all nonzero real numbers": r"\mathbb{R}\setminus\{0\}", "all positive real numbers": r"(0,\infty)",
    "all natural numbers": r"\mathbb{N}", "empty set": r"\emptyset ", "modulo": r"\mod ", "mod": r"\mod ",
}  # fmt: skip
_BY_LENGTH = sorted(((tuple(phrase.split()), sign) for phrase, sign in _PHRASES.items()), key=lambda p: -len(p[0]))

WORD = '"[^"]*"'
_WORDS = re.compile(rf"{WORD}(?: *{WORD})*")
_LETTERS = r"[^\W\d_]"
_SKIPPED = re.compile(
    rf"{WORD}|\\(?:begin|end|mathbb|mathcal)\{{[^{{}}]*\}}|\\[A-Za-z]+|({_LETTERS}{{2,}}(?:-{_LETTERS}{{2,}})*|[\u3040-\u9fff])"
)
_BEHIND_VALUE = re.compile(r'(?:[\d)}\]%"]|" ?(?:\^\{?-?\d\}?)? ?(?:\\cdot|[/*])|\\pi|\\frac\{|"\}\{)\s*\Z')
_BEHIND_AND = re.compile(r'"(?:and|or)" *\Z')
_VALUE_IN_FRONT = re.compile(r"[\d)]\s*\Z")
_FACTOR_BEHIND = re.compile(r"\}|\\(?:sin|cos|tan|theta|alpha|beta|phi|omega|mu|sqrt|frac)")
_RUN = re.compile(rf"{_LETTERS}+")
_ARTICLE = re.compile(r'(?<![\w\\])[aA] (?="(?!is"|are"|or"|and"|"))')


def quote(text: str) -> str:
    """Text with its words in quotes. Commands and words in quotes stay."""
    runs = [match for match in _SKIPPED.finditer(text) if match[1] or match[0].startswith('"')]
    if not runs:
        return text
    sure = [match[1] is None or _is_word(text, match.start(), match.end()) for match in runs]
    for k, match in enumerate(runs):  # what stands beside a word, apart by a blank, is a word
        if not sure[k] and match[1].lower() not in _FUNCTIONS and not match[1].isupper():
            beside = [runs[j] for j in (k - 1, k + 1) if 0 <= j < len(runs) and sure[j]]
            gaps = (text[min(match.end(), run.end()) : max(match.start(), run.start())] for run in beside)
            sure[k] = any(gap.isspace() for gap in gaps)
    parts, end = [], 0
    for match, word in zip(runs, sure, strict=True):
        if word and match[1]:
            parts += [text[end : match.start()], _quoted(match[1])]
            end = match.end()
    return _ARTICLE.sub("", "".join(parts) + text[end:])


def _quoted(run: str) -> str:
    pieces = run.split("-")
    if pieces[0].lower() in ("non", "anti", "semi", "pre"):
        pieces = ["".join(pieces)]
    return "".join(f'"{piece}"' for piece in pieces)


def _is_word(text: str, start: int, end: int) -> bool:
    run, before, after = text[start:end], text[start - 1 : start], text[end : end + 1]
    lower = run.lower()
    if before in ("_", "^", "\\"):
        return False
    if lower in _FUNCTIONS:
        return _is_unit_behind(text, start, end)
    if not run.isascii():
        return True
    if lower in _PRODUCTS and (
        run.isupper() or not _VALUE_IN_FRONT.search(text[max(0, start - 8) : start]) or _FACTOR_BEHIND.match(text, end)
    ):
        return False
    if lower in _NAMES or lower in _COMPOUND:
        return before not in ("+", "-", "{", "*") and after not in ("+", "-", "_", "*", "(")
    if before in ("+", "*") or after in ("+", "*", "^", "_"):
        return False
    if run.isupper():
        return lower in ("yes", "no", "dne", "none", "true", "false")
    longest = max(run.split("-"), key=len)
    if len(longest) > 3:
        return True
    bounded = before not in ("{", "-", "/") and after not in ("}", "-", "/")
    return bounded and (lower in _SHORT or (len(run) == 3 and run[0].isupper() and run[1:].islower()))


def _is_unit_behind(text: str, start: int, end: int) -> bool:
    """Whether *sec* or *deg* is what a value ends in, and no function of what follows."""
    behind = _VALUE_IN_FRONT.search(text[max(0, start - 8) : start])
    return text[start:end] in _UNITS_LIKE_FUNCTIONS and behind is not None and not text[end:].strip(" .")


def quote_all(content: str, before: str) -> str:
    r"""The content of a ``\text{}`` with its words in quotes: all but single letters, function names and capitals,
    which name points and choices; letters of units too if they stand behind a value, at the end of what is before."""
    content = re.sub(r"\b(non|anti|semi|pre)-(?=[a-z])", r"\1", content)
    blank = content[: len(content) - len(content.lstrip())]
    behind_value = bool(_BEHIND_VALUE.search(before[-20:] + blank)) and not _BEHIND_AND.search(before)

    def run(match: re.Match[str]) -> str:
        letters, start = match[0], match.start()
        if content[start - 1 : start] in ("\\", '"'):
            return letters
        behind = behind_value or bool(re.search(r"\d\s*\Z", content[max(0, start - 20) : start]))
        if letters.lower() in _FUNCTIONS and not (behind and letters in _UNITS_LIKE_FUNCTIONS):
            return '"mod"' if letters == "mod" else f"\\{letters} "
        if content[start - 1 : start].isdigit() and content[match.end() : match.end() + 1].isdigit():
            return letters  # a digit of 1A3
        if len(letters) == 1:
            return f'"{letters}"' if behind and letters in UNIT_LETTERS else letters
        capitals = letters.isupper() and not behind and letters.lower() not in _SHORT
        return letters if capitals else f'"{letters}"'

    return _ARTICLE.sub("", _RUN.sub(run, content).replace('"-"', '""'))


def say(text: str) -> str:
    """Text with numbers and comparisons in words replaced by signs: ``"at""least"5`` is ``\\ge 5``."""
    return _WORDS.sub(_said, text) if '"' in text else text


def _said(match: re.Match[str]) -> str:
    words = re.findall('"([^"]*)"', match[0])
    lower = [word.lower() for word in words]
    before, after = match.string[: match.start()].rstrip()[-1:], match.string[match.end() :].strip()[:1]
    parts: list[str] = []
    at = 0
    while at < len(words):
        sign, length = _sign(lower[at:], parts[-1] if parts else before, after)
        if not length:
            sign, length = _cardinal(lower[at:])
        parts.append(sign if length else f'"{words[at]}"')
        at += length or 1
    return "".join(parts)


def _sign(words: list[str], before: str, after: str) -> tuple[str, int]:
    """The sign that words at the start stand for, and how many they are; none where no value is beside them."""
    for phrase, sign in _BY_LENGTH:
        if tuple(words[: len(phrase)]) == phrase:
            last = len(words) == len(phrase)
            if sign in ("%", r"\degree "):
                fits = before[-1:].isalnum() or before[-1:] in ("}", ")")
            elif sign == "-":
                fits = last and (after.isalnum() or after in ("\\", "("))
            else:
                fits = (
                    sign[0] == "(" or "{" in sign or sign[1:6] in ("empty", "infty") or bool(after if last else words)
                )
            return (sign, len(phrase)) if fits else ("", 0)
    return "", 0


def _cardinal(words: list[str]) -> tuple[str, int]:
    """A number below a hundred at the start, in digits, and how many words it takes; none if there is none."""
    first = _CARDINALS.get(words[0])
    if first is None:
        return "", 0
    second = _CARDINALS.get(words[1], 0) if len(words) > 1 and first > 19 and first % 10 == 0 else 0
    return (str(first + second), 2) if 0 < second < 10 else (str(first), 1)


def subscript(words: str) -> str:
    """Words as the subscript that they are: the base *two* is 2."""
    text = words.replace('"', "")
    return _cardinal([text.lower()])[0] or text


_LARGE_BEHIND = re.compile(rf'(?<=\d) ?"({"|".join(_LARGE)})"')


def scale(text: str) -> str:
    """``3"million"`` as ``3e6``."""
    return _LARGE_BEHIND.sub(lambda match: f"e{_LARGE[match[1]]}", text)


_TOKEN = re.compile(r'"([^"]*)"(?:\^\{?(-?\d+)\}?)?|([/()])')
_DIRECTIONS = r'"(?:north|south|east|west)"'
_COMPASS = re.compile(rf'({_DIRECTIONS}) ?"of" ?({_DIRECTIONS})', re.IGNORECASE)


@lru_cache(maxsize=4096)
def remark(words: str) -> frozenset[str]:
    """What words beside a value say: their unit as one entry, and other words."""
    units: Counter[str] = Counter()
    found: set[str] = set()
    power, sign, inside, last = 1, 1, False, ""
    words = _COMPASS.sub(lambda m: f"{m[1][:-1]} of {m[2][1:]}", words)  # east of north is not north of east
    tokens = list(_TOKEN.finditer(words.replace('"ms"^{-', '"m""s"^{-')))
    for k, match in enumerate(tokens):
        word = match[1] or match[3] or ""
        word = f"mega{word[1:]}".lower() if _MEGA.fullmatch(word) else word.lower()
        if word in ("/", "per"):
            sign = -1
        elif word in ("(", ")"):
            inside = word == "(" and sign < 0
            sign = sign if inside else 1
        elif word in _POWERS:
            power = _POWERS[word]
        elif word in _POWERS_BEHIND and last:
            units[last] += (_POWERS_BEHIND[word] - 1) * (1 if units[last] > 0 else -1)
        elif word == "in" and (k or (len(tokens) > 1 and not match[2])):
            continue
        elif unit := _unit(word):
            exponent = sign * power * int(match[2] or 1)
            for name, factor in unit.items():
                units[name] += exponent * factor
            last, power, sign = next(iter(unit)), 1, sign if inside else 1
        else:
            found |= {"/" + singular(word)} if sign < 0 else {singular(word)} - _SILENT
            power, sign = 1, sign if inside else 1
    signature = " ".join(f"{name}^{exponent}" for name, exponent in sorted(units.items()) if exponent)
    return frozenset(found | {signature} if signature else found)


def _unit(word: str) -> dict[str, int] | None:
    for name in (word, singular(word), word.removesuffix("s")):
        if name in _COMPOUND:
            return _COMPOUND[name]
        if name in _NAMES_IN_TEXT:
            return {_NAMES_IN_TEXT[name]: 1}
    return None


def singular(word: str) -> str:
    """A word in lower case without the ending of its plural."""
    word = word.lower()
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def spoken(words: str) -> tuple[str, ...]:
    """An answer in words: in lower case, singular, without articles."""
    found = [singular(word) for word in re.findall('"([^"]*)"', words)]
    if found[-3:] == ["doe", "not", "exist"]:
        found[-3:] = ["dne"]
    return tuple(word for word in found if word not in _ARTICLES)


_IDLE = frozenset(
    map(
        singular,
        names(
            "it is be they are on this number solution triangle function series sequence integral limit graph system "
            "win"
        ),
    )
)
_NOT_ALONE = frozenset(names("no not none neither"))
"""Words that another one changes: *no* is not *no solution*."""


def may_miss_words(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """Whether answers in words are the same but for words that add nothing: *even* and *it is an even number*."""
    bare = [tuple(word for word in words if word not in _IDLE) for words in (left, right)]
    return left == right or (bool(bare[0]) and bare[0] == bare[1] and not _NOT_ALONE & set(bare[0]))


def said(words: str) -> tuple[str, ...]:
    """As `spoken`, units by their names."""
    return tuple(_NAMES.get(word, word) for word in spoken(words))


_POUNDS = frozenset(("lb^1", "sterling^1"))
"""A pound is money where the other side says so."""


def may_miss(left: frozenset[str], right: frozenset[str]) -> bool:
    """Whether remarks agree: one may have words that the other lacks, unless these bind, but not each of them."""
    if left | right == _POUNDS:
        return True
    return (left <= right or right <= left) and not (left ^ right) & BINDING
