"""Mathematics in Unicode, such as √2, x², ½, 45°, −3 or full-width digits, as LaTeX in ASCII."""

from __future__ import annotations

import re
import unicodedata

_SMALL = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"),
    *("nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
)
_CAPITAL = ("Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega")
_GREEK_LETTERS = {
    **dict(zip("αβγδεζηθικλμνξπρστυφχψω", _SMALL, strict=True)),
    **dict(zip("ΓΔΘΛΞΠΣΦΨΩ", _CAPITAL, strict=True)),
    "ϕ": "phi", "ϵ": "epsilon", "ϑ": "theta", "ς": "sigma", "µ": "mu", "Ω": "Omega",
}  # fmt: skip
_COMMANDS = {
    "×": "times", "÷": "div", "·": "cdot", "⋅": "cdot", "∙": "cdot", "≤": "le", "⩽": "le", "≦": "le", "≥": "ge",
    "⩾": "ge", "≧": "ge", "≠": "ne", "≈": "approx", "≃": "approx", "≅": "cong", "≡": "equiv", "±": "pm", "∓": "mp",
    "∞": "infty", "∈": "in", "∉": "notin", "∪": "cup", "∩": "cap", "∅": "emptyset", "⊂": "subset", "⊆": "subseteq",
    "∖": "setminus", "∠": "angle", "△": "triangle", "∥": "parallel", "⊥": "perp", "∼": "sim", "→": "to",
    "⇒": "Rightarrow", "⌊": "lfloor", "⌋": "rfloor", "⌈": "lceil", "⌉": "rceil", "⟨": "langle", "⟩": "rangle",
    "∧": "wedge", "∨": "vee", "¬": "neg", "…": "ldots", "⋯": "cdots", "∑": "sum", "∏": "prod", "∫": "int",
    "∂": "partial", "∇": "nabla", "°": "degree", "º": "degree", "˚": "degree", "√": "sqrt", "∛": "sqrt[3]",
    "∜": "sqrt[4]", "€": "euro", "£": "pounds", "¥": "yen", "¢": "cents", "₹": "rupees", "ℏ": "hbar",
}  # fmt: skip
_PLAIN = {
    "−": "-", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "⁄": "/", "∕": "/", "∗": "*", "′": "'",
    "″": "''", "’": "'", "‘": "'", "“": "", "”": "", "„": "", "«": "", "»": "", "∣": "|", "‖": r"\|", "∶": ":",
    "、": ",", "。": ".", "✓": "", "✔": "", "✅": "", "•": " ", "【": "[", "】": "]",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}",
}  # fmt: skip
_SIGNS = str.maketrans(
    {sign: rf"\{name} " for sign, name in (_GREEK_LETTERS | _COMMANDS).items()}
    | _PLAIN
    | dict.fromkeys(range(0x200B, 0x2010))
    | dict.fromkeys((*range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF, 0xFE0F, 0x20E3))
)
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ", "0123456789+-()ni", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙₖ", "0123456789+-()nk", strict=True))
_RAISED_RUN = re.compile(f"[{''.join(_RAISED)}]+")
_LOWERED_RUN = re.compile(f"[{''.join(_LOWERED)}]+")
_FRACTION = re.compile("[¼-¾⅐-⅞↉]")
_BARRED = re.compile(r"(?:(\d)[\u0305\u0304])+")
_DOTTED = re.compile(r"(\d)\u0307(?:(\d*)(\d)\u0307)?")
_ROOT = re.compile(r"([√∛∜])\s?(\d+(?:\.\d+)?|[^\W\d_])")


def to_latex(text: str) -> str:
    """The same answer in ASCII, as far as the signs are known; letters of other scripts stay."""
    if text.isascii():
        return text
    text = _RAISED_RUN.sub(lambda run: f"^{{{''.join(map(_RAISED.__getitem__, run.group()))}}}", text)
    text = _LOWERED_RUN.sub(lambda run: f"_{{{''.join(map(_LOWERED.__getitem__, run.group()))}}}", text)
    text = _BARRED.sub(lambda run: rf"\overline{{{''.join(c for c in run.group() if c.isdigit())}}}", text)
    text = _DOTTED.sub(lambda run: rf"\overline{{{''.join(filter(None, run.groups()))}}}", text)
    text = _FRACTION.sub(_fraction, text)
    text = _ROOT.sub(r"\1{\2}", text)
    return unicodedata.normalize("NFKC", text.translate(_SIGNS))


def _fraction(sign: re.Match[str]) -> str:
    above, _, below = unicodedata.normalize("NFKC", sign.group()).partition("⁄")
    return rf"\frac{{{above}}}{{{below}}}"
