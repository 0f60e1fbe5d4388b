r"""One spelling for what can be written in many ways: fonts, sizes, wrappers, spacing, synonyms, words.

``canonical`` is what comparisons read: ASCII LaTeX without markup, its words in double quotes (`sage.grading.words`).
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from sage.grading.unicode import to_latex
from sage.grading.words import names, quote, quote_all, say, scale, subscript

_DROPPED = names("""
    left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle
    scriptstyle limits nolimits tiny small normalsize large Large LARGE huge Huge bf bfseries it itshape rm sf tt
    sl em mathstrut strut checkmark blacksquare qed boldmath centering noindent nonumber notag protect mathopen
    mathclose mathbin mathrel mathord relax therefore
""")
_SPACES = names("""
    quad qquad thinspace medspace thickspace enspace enskip space nobreakspace newline par hfill
""")
_SYNONYMS = {
    "frac": "dfrac tfrac cfrac nicefrac sfrac", "le": "leq leqslant leqq", "ge": "geq geqslant geqq", "ne": "neq not=",
    "approx": "thickapprox simeq doteq", "emptyset": "varnothing", "ldots": "dots cdots dotsc dotsb", "infty": "infin",
    "setminus": "backslash smallsetminus", "cup": "bigcup", "cap": "bigcap", "degree": "textdegree", "mod": "bmod",
    "ast": "star", "overline": "bar", "to": "rightarrow longrightarrow implies Rightarrow Longrightarrow",
    "leftrightarrow": "iff Leftrightarrow Longleftrightarrow", "epsilon": "varepsilon", "phi": "varphi", "%": "percent",
    "binom": "dbinom tbinom",
}  # fmt: skip
_REPLACED = (
    {name: rf"\{kept} " for kept, names in _SYNONYMS.items() for name in names.split()}
    | dict.fromkeys(_DROPPED, "")
    | dict.fromkeys(_SPACES, " ")
    | {
        "lt": "<", "gt": ">", "lbrace": r"\{", "rbrace": r"\}", "lbrack": "[", "rbrack": "]", "lparen": "(",
        "rparen": ")", "vert": "|", "lvert": "|", "rvert": "|", "mid": "|", "Vert": r"\|", "lVert": r"\|",
        "rVert": r"\|",
        "langle": "(", "rangle": ")", "colon": ":", "ast": "*", "prime": "'", "R": r"\mathbb{R}", "Z": r"\mathbb{Z}",
        "N": r"\mathbb{N}", "Q": r"\mathbb{Q}", "reals": r"\mathbb{R}", "Reals": r"\mathbb{R}", "euro": '"euro"',
        "pounds": '"sterling"', "yen": '"yen"', "rupees": '"rupee"', "cents": '"cent"',
        "textdollar": '"$"', "mathdollar": '"$"', "land": '"and"',
        "wedge": '"and"', "lor": '"or"', "vee": '"or"', "percent": "%", "pmod": r"\mod ", "lg": r"\log_{10} ",
        "lnot": r"\neg ", "top": "T", "intercal": "T", "imath": "i", "jmath": "j",
    }
)  # fmt: skip
_WRAPPERS = frozenset(
    names("""
    boxed fbox framebox mathbf boldsymbol bm mathit mathsf mathtt mathnormal underline bold pmb bbox vec uline
    ensuremath smash textcolor colorbox color
    """)
)
_TEXTS = frozenset(
    names("""
    text textbf textit textrm textsf texttt textnormal textup textsc textsl textmd emph mbox hbox mathrm
    operatorname
    """)
)
_WITHOUT_EFFECT = re.compile(
    r"\\(?:text)?color(?:box)?\s*(?:\[[^\]{}]*\])?\{[^{}]*\}|\\[hv]space\*?\{[^{}]*\}|\\(?:label|tag|vphantom|hphantom)\*?\{[^{}]*\}"
    r"|\\phantom\s*(?:\{[^{}]*\}|[^\\{}])|\\(?:left|right)\s*\.|(?<![A-Za-z0-9)\]}*])\*\*(?=[^*\s])|(?<=[^*\s])\*\*(?=[\s.,]*\Z)|`+"
    r"|\A\s*\\(?:(?:long)?rightarrow|to|Rightarrow|Longrightarrow|implies|Leftrightarrow|iff|star|bullet|#)(?![A-Za-z])"
)
_LINES = re.compile(r"\\(?:begin|end)\{(?:aligned|align|gathered|gather|split|equation|multline|cases)\*?\}")
_ARRAY = re.compile(r"\\(begin|end)\{(?:array|smallmatrix)\}(?:\{[^{}]*\})?")
_SYSTEM = re.compile(
    r"(?:\\left\s*)?\\\{\s*\\begin\{(array|aligned|gathered)\}(?:\{[^{}]*\})?((?:(?!\\end).)*)\\end\{\1\}(?!\s*(?:\\right\s*)?\\\})",
    re.DOTALL,
)
"""Lines behind a brace that nothing closes, as *cases* are set."""
_COMMAND = re.compile(r"\\(?:(not\s?=)|([A-Za-z]+)\*?(?: (?=\s*\{))?|([,;:> ~])|([!()\[\]])|([&#_%])|\\)")
_TOKEN = re.compile(r"\\([A-Za-z]+)(?:\s*(?:\[[^\[\]{}]*\]\s*)?(\{))?|\\.|[{}]|[^\\{}]+", re.DOTALL)
_DEGREE = re.compile(
    r"\^\s?(?:\{\s?\\(?:circ|degree)\s?\}|\\(?:circ|degree)(?![A-Za-z]))\s?|(?<=\d)\^\s?(?:\{\s?o\s?\}|o(?![A-Za-z]))|(?<=\d)度"
)
_SUBSCRIPT = re.compile(r'_\{?((?:"[^"]*" ?)+)\}?')
_BASE = re.compile(r'_\{(?:"in" ?)?"base" ?(\d+)\}')
_ARC = re.compile(r"(?<![\d.])(\d+)\\degree ?(\d+) ?'(?: ?(\d+) ?'')?(?!')")
_FEET = re.compile(r"(?<![\d._^])(\d+(?:\.\d+)?) ?('{1,2})(?!')")
_INCH = re.compile(r'(?<=\d)"(?=\s*\Z)')
_MICRO = re.compile(
    r"(?<=\d)(?:\\[ ,;:]|[\s~])*(?:[µμ]([A-Za-z])(?![A-Za-z])|\\mu\s*\\(?:text|mathrm)\{\s*([A-Za-z])\s*\}"
    r"|\\(?:text|mathrm)\{\s*(?:\\mu\s*|[µμ])([A-Za-z])\s*\}|\\mu\s+([mFCAsHLWV])(?=[\s.]*\Z))"
)
_ACCENT = re.compile(r"\\(hat|tilde|bar|overline|dot|ddot)\s+([A-Za-z])(?![A-Za-z])")
_HAT = re.compile(r"\\hat\{\s*(?:\\(?:mathbf|textbf|boldsymbol|bm)\s*\{?\s*)?(\\[ij]math|[ijknrxyz])\s*\}?\s*\}")
_CROSS = re.compile(
    r"(\\(?:vec|mathbf|boldsymbol|bm)\s*\{?[A-Za-z]\}?|\\nabla)\s*\\times(?=\s*\\(?:vec|mathbf|boldsymbol|bm)\b)"
)
"""The product of two vectors, which is no product of numbers."""
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_SHORT_MONTHS = "jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
_SHORT_MONTH = re.compile(rf'"({_SHORT_MONTHS})"(?= ?\d)|(?:(?<=\d)|(?<=\d ))"({_SHORT_MONTHS})"', re.IGNORECASE)
_DATE = re.compile(
    rf'(?:(\d{{1,2}}) ?(?:"of" ?)?)?("(?:{_MONTHS})") ?(?:(\d{{1,2}})\b)? ?,? ?(\d{{4}})(?!\d)', re.IGNORECASE
)
_CIS = re.compile(r"\\cis ?(?:\(([^()]*)\)|([^()+,;=]+))")
_ORDINAL = re.compile(r'(?<=\d)\s?(?:\^\s?\{?\s?)?"?(?:st|nd|rd|th)"?\}?(?![A-Za-z"])')
_FRACTION_OF_UNITS = re.compile(r'\\frac\{((?:"[^"]*"|\^\{?-?\d+\}?|[ (])+)\}\{((?:"[^"]*"|\^\{?-?\d+\}?|[ )])+)\}')
_NOON = re.compile(r"(?<![A-Za-z\\])([ap])\.\s?m\b\.?", re.IGNORECASE)
_RATE = re.compile(
    r"(?<=\d) (mm|cm|m|km|ft|mi|mg|g|kg|mL|L|J|kJ|N|W|rad|rev)/(s|h|hr|min|m|L|mL|kg|g|K|mol)(?=\^|\W*\Z)"
)
_SCALED_UNIT = re.compile(r"(?<=\d)\s?([kMm](?:W|J|V|A|N|Pa|eV))(?=[\s.]*\Z)")
_ABBREVIATED = re.compile(
    rf"\b((?i:sq|cu|ft|in|yd|mi|lb|oz|hr|min|sec|approx|mr|mrs|ms|dr|st|rs|{_SHORT_MONTHS}))\.(?=[\s}}]|\Z)"
)
_CHOOSE = [
    (re.compile(r"\{\s*(\w+)\s*\\choose\s*(\w+)\s*\}"), r"\\binom{\1}{\2}"),
    (re.compile(r"(?:\{\})?[_^]\{?(\d+)\}?\s?C_\{?(\d+)\}?"), r"\\binom{\1}{\2}"),
    (
        re.compile(r"(?<![A-Za-z\\])C_(?:\{([a-z\d+-]+)\}|([a-z\d]))\^(?:\{([a-z\d+-]+)\}|([a-z\d]))"),
        r"\\binom{\1\2}{\3\4}",
    ),
]
_TIMES = re.compile(r"(?<=\d) ?x ?(?=10\^)")
_NATURAL = re.compile(r"\\log_\{?e\}?(?![a-z])")
_FRENCH = re.compile(r"([\[\]])([^\[\](),;]+[,;][^\[\](),;]+)([\[\]])")
_FULL_HOUR = re.compile(r'(?<=\d):00 ?(?="[ap]m")', re.IGNORECASE)
_TEMPERATURE = re.compile(r'\\degree\s*"?([CF])"?(?![A-Za-z])')
_GROUPED_DIGITS = re.compile(r"(?<![\d.,])(?<!\\frac )\d{1,3}(?: \d{3})+(?![\d/])")
# The blank in 45, 135 stays: it is a list, 45,135 is a number.
_LOOSE_SPACE = re.compile(r"(?!(?<=\d,) \d{3}(?!\d))(?:(?<!\w) | (?!\w))")
_PLAIN_NAMES = re.compile(
    r"(?<![A-Za-z\\\"])(sqrt|pi|theta|alpha|beta|arcsin|arccos|arctan|sin|cos|tan|cot|sec(?![.\s]*\Z)|csc|cis|log|ln|infty|inf|mod)(?![A-Za-z\"])"
)
_EXCEPT = re.compile(
    r'\\mathbb\{R\} ?"(?:except|but|without)" ?(?:"for" ?)?(?:[a-z] ?= ?)?([^"=]*(?:"(?:and|or)"[^"=]*)*)'
)
_IN_BRACKETS = re.compile(r"\A\((\w+)\)_")
_AND_UNIT = re.compile(
    r'("(?:hours?|hrs?|h|minutes?|mins?|min|days?|weeks?|years?|feet|foot|ft|pounds?|lbs?|dollars?|degrees?)")'
    r' ?(?:,? ?"and"|,) ?'
    r'(\d+ ?"(?:minutes?|mins?|min|seconds?|s|hours?|days?|months?|weeks?|inch(?:es)?|in|ounces?|oz|cents?)")'
)
_AND = re.compile(r' ?,? ?"(?:and|or)" ?')
_PLAIN_ROOT = re.compile(r"\\sqrt\s*\(([^()]*)\)")
_SYMMETRIC = re.compile(r"\\(max|min|gcd|lcm) ?(?:\(([^()]+)\)|\\\{([^{}]+)\\\})")
_BARE = re.compile(r"\\frac ([A-Za-z]) ?([A-Za-z\d])")
_IS_BOUNDED = re.compile(
    r"= ?(?=\\[gl]e(?![A-Za-z])|[<>])|\\mathbb\{R\}(?= ?(?:[A-Za-z] ?)?(?:\\[gl]e(?![A-Za-z])|[<>]))"
)
"""What says nothing in front of a sign: *x is at least 2*, *all real numbers x at least 2*."""
_FINISHED = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?|[A-Za-z]")


@lru_cache(maxsize=8192)
def canonical(text: str) -> str:
    """An answer without markup that does not change it; words are in quotes, degrees are ``\\degree``."""
    if _FINISHED.fullmatch(text):
        return text
    text = _MICRO.sub(lambda match: rf" \text{{micro{match[match.lastindex or 0]}}}", text)
    text = _CROSS.sub(r"\1\\cross ", _HAT.sub(r"\1", _ACCENT.sub(r"\\\1{\2}", _written_out(text))))
    text = _INCH.sub("''", text) if text.count('"') == 1 else text
    text = re.sub(r"\A\*([^*]+)\*\Z", r"\1", _money(to_latex(text).replace('"', "")).strip())
    text = _ABBREVIATED.sub(
        r"\1", _RATE.sub(r" \\text{\1/\2}", _SCALED_UNIT.sub(r" \\text{\1}", _NOON.sub(r"\1m", text)))
    )
    text = _TIMES.sub(r"\\times ", text)
    for choose, binomial in _CHOOSE:
        text = choose.sub(binomial, text)
    text = re.sub(
        r"\\mathbb ([A-Z])|(?<=\\in) ?([ZNRQ])(?![A-Za-z])",
        r"\\mathbb{\1\2}",
        _NATURAL.sub(r"\\ln ", text.replace("{:}", ":")),
    )
    text = re.sub(r"(?<=\d)(?:\{,\}|,\s?\\!\s?|')(?=\d{3}(?!\d))", ",", text)
    text = re.sub(r"(?<=\d)\{,\}(?=\d)", ".", re.sub(r"(?<=[\d,]) ?\.{3,}", r"\\ldots ", text))
    text = _lines(_WITHOUT_EFFECT.sub("", text))
    text = _ungrouped(_COMMAND.sub(_command, _DEGREE.sub(r"\\degree ", text)))
    text = re.sub(r"\*\*(-?\w+)|\^(-\d+|\d\d+)", r"^{\1\2}", text)
    text = _measured(" ".join(text.replace("~", " ").split()))
    text = _ORDINAL.sub("", _PLAIN_NAMES.sub(_plain_name, text))
    text = _BASE.sub(r"_{\1}", quote(_ORDINAL.sub("", _BARE.sub(r"\\frac{\1}{\2}", text))))
    text = _DATE.sub(_dated, _SHORT_MONTH.sub(_month, text))
    text = _CIS.sub(r"e^{i(\1\2)}", _SUBSCRIPT.sub(lambda match: f"_{{{subscript(match[1])}}}", text))
    text = _TEMPERATURE.sub(lambda match: f'"{dict(C="celsius", F="fahrenheit")[match[1]]}"', text)
    text = re.sub(r'(?<=\d) ?"to" ?(?=\d)', ":", _FULL_HOUR.sub("", text))
    text = _AND_UNIT.sub(r"\1\2", _IN_BRACKETS.sub(r"\1_", text))
    text = _EXCEPT.sub(_without, scale(say(_FRACTION_OF_UNITS.sub(r"\1/(\2)", text))))
    text = _PLAIN_ROOT.sub(r"\\sqrt{\1}", _GROUPED_DIGITS.sub(lambda match: match[0].replace(" ", ""), text))
    text = _IS_BOUNDED.sub("", _SYMMETRIC.sub(_sorted, text))
    text = re.sub(r"([\^_])\{(\w)\}(?!\d)", r"\1\2", _LOOSE_SPACE.sub("", " ".join(text.split())))
    text = _FRENCH.sub(_round, text)
    text = re.sub(r"^<([^<>]+,[^<>]+)>\Z", r"(\1)", re.sub(r'^(?:=|:|\\approx ?)+|(?:[.,;: ]|(?<=")!)+\Z', "", text))
    return text[1:-1] if text.startswith("{") and text.endswith("}") and "{" not in text[1:] else text


def _measured(text: str) -> str:
    """Text with its degrees and minutes in degrees, or its feet and inches as words."""
    if "'" not in text:
        return text
    text = re.sub(r"\^ ?\{('+)\}", r"\1", text)
    if r"\degree" in text:
        return _ARC.sub(_in_degrees, text)
    return _FEET.sub(lambda match: match[1] + ('"foot"' if match[2] == "'" else '"inch"'), text)


def _in_degrees(match: re.Match[str]) -> str:
    degrees, minutes, seconds = (int(part or 0) for part in match.groups())
    return rf"{degrees + Fraction(60 * minutes + seconds, 3600)}\degree "


def _written_out(text: str) -> str:
    """Text without a line break at its end, its vectors from point to point and functions by the usual commands."""
    text = re.sub(r"\\vec\s*\{\s*([A-Z]{2})\s*\}", r"\\overrightarrow{\1}", text.rstrip("\\ \t\n"))
    text = re.sub(r"\\overrightarrow\s*\{\s*([a-z])\s*\}", r"\\vec{\1}", text)
    return re.sub(r"\\operatorname\*?\{(max|min)\}", r"\\\1 ", text)


def _sorted(match: re.Match[str]) -> str:
    """A function whose arguments may stand in any order and in braces."""
    return rf"\{match[1]}({','.join(sorted((match[2] or match[3]).split(',')))})"


def _dated(match: re.Match[str]) -> str:
    """A date with its month in front: 15 March 2021 is March 15, 2021."""
    before, month, behind, year = match.groups()
    return match[0] if bool(before) == bool(behind) else f"{month}{before or behind},{year}"


def _month(match: re.Match[str]) -> str:
    return f'"{next(name for name in _MONTHS.split("|") if name.startswith((match[1] or match[2])[:3].lower()))}"'


def _without(match: re.Match[str]) -> str:
    return rf"\mathbb{{R}}\setminus \{{{_AND.sub(',', match[1])}\}}"


def _round(match: re.Match[str]) -> str:
    """An interval in the French way, ]2,5], with a round bracket for each that is turned outwards."""
    opening, inside, closing = match.groups()
    return f"{'(' if opening == ']' else '['}{inside}{')' if closing == '[' else ']'}"


def normalise(text: str) -> str:
    """An answer without markup that does not change it, as a reader would copy it: without degrees too."""
    text = without_degrees(canonical(text)).replace('""', " ").replace('"', " ")
    return _LOOSE_SPACE.sub("", " ".join(text.split()))


def without_degrees(notation: str) -> str:
    """A notation without the signs of degrees and of money."""
    return re.sub(r'\\degree ?|"\$"', "", re.sub(r"\\degree ?,", ", ", notation))


def _money(text: str) -> str:
    """Dollar signs are money where they are escaped, or all stand before numbers; else they are markup."""
    text = re.sub(r"\$\s?,", ", ", text.replace(r"\$", "\0"))
    text = re.sub(r"\bUS(?=[\0$])", "", text)
    signs, amounts = text.count("$"), len(re.findall(r"\$(?=\s?\.?\d)", text))
    text = text.replace("$", "\0" if signs == amounts else "")
    return re.sub(r"([+-]) ?\0(?=\s?\.?\d)", r"\0\1", text).replace("\0", '"$"')


def _lines(text: str) -> str:
    """Text with displayed lines as a list, and arrays as matrices."""
    if r"\begin" not in text:
        return re.sub(r"\\\\(?=[A-Za-z{}])", r"\\", text)  # JSON that was escaped twice
    text = _ARRAY.sub(
        r"\\\1{matrix}", _SYSTEM.sub(r"\\begin{cases}\2\\end{cases}", re.sub(r"\\cr(?![A-Za-z])", r"\\\\", text))
    )
    if not _LINES.search(text) or "matrix" in text or (r"{cases}" in text and "&" in re.sub(r"&\s*=", "=", text)):
        return text
    text = re.sub(r"\\\\(?:\[[^\]]*\])?(?=\s*&?\s*=)", " ", _LINES.sub("", text).replace("&", ""))
    return re.sub(r"\\\\(?:\[[^\]]*\])?", ", ", text)


def _command(match: re.Match[str]) -> str:
    unequal, name, space, dropped, escaped = match.groups()
    if name:
        kept = _REPLACED.get(name)
        return match[0] if kept is None else kept
    return r"\ne " if unequal else " " if space else "" if dropped else escaped or match[0]


def _ungrouped(text: str) -> str:
    r"""Text without wrappers and braces that group nothing, and with the words of ``\text{}`` in quotes."""
    out: list[str] = []
    opened: list[tuple[str, int]] = []
    for match in _TOKEN.finditer(text):
        name, brace = match[1], match[2]
        token = match[0]
        if name and brace:
            kind = "text" if name in _TEXTS else "group" if name in _WRAPPERS else "argument"
            if kind == "argument":
                out.append(token)
            elif out and re.search(r"\\[A-Za-z]+\Z", out[-1]):
                out.append(" ")
            opened.append((kind, len(out)))
        elif token == "{":
            before = "".join(out[-2:]).rstrip()[-1:]
            kind = "group" if not before or before in "=+-*/(,<>[|;:" else "argument"
            if kind == "argument":
                out.append(token)
            opened.append((kind, len(out)))
        elif token == "}":
            kind, start = opened.pop() if opened else ("group", 0)
            if kind == "argument":
                out.append(token)
            elif kind == "text":
                out[start:] = [quote_all("".join(out[start:]), "".join(out[max(0, start - 3) : start]))]
        elif name not in _TEXTS and name not in _WRAPPERS:
            out.append(token)
    return "".join(out)


def _plain_name(match: re.Match[str]) -> str:
    return r"\infty " if match[1] == "inf" else rf"\{match[1]} "
