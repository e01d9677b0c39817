"""Text on figures: names from files as plain text, and numbers as people read them."""

from __future__ import annotations

from functools import cache

from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import TextToPath

from ssmspec.naming import printable
from ssmspec.plots.style import FONTS

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def shown(name: str, most: int) -> str:
    """A name from a file as it may stand on a figure.

    What the font has no glyph for becomes an escape, and the middle of a long name an ellipsis:
    layers that share a prefix differ at the end. Nothing in it is read as mathematics, because
    figures are drawn with `text.parse_math` off.

    Args:
        name: any text.
        most: characters to keep, at least 5.
    """
    known = _glyphs()
    text = "".join(
        char if ord(char) in known else char.encode("unicode_escape").decode()
        for char in printable(name)
    )
    if len(text) <= most:
        return text
    head = (most - 1) // 3
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def fitted(name: str, inches: float, points: float) -> str:
    """A name from a file, cut so that it is no wider than this in this size of type."""
    most = max(5, int(4.0 * inches * 72.0 / points))  # no letter is narrower than a quarter em
    text = shown(name, most)
    while most > 5 and width(text, points) > inches:
        most = max(5, min(most, len(text)) - 1)
        text = shown(name, most)
    return text


def width(text: str, points: float) -> float:
    """Inches that a line of text is wide."""
    font = FontProperties(family=list(FONTS), size=points)
    across: float = TextToPath().get_text_width_height_descent(text, font, ismath=False)[0]
    return across / 72.0


@cache
def _glyphs() -> frozenset[int]:
    font = get_font(findfont(FontProperties(family=list(FONTS))))
    return frozenset(font.get_charmap())


def power_of_ten(exponent: int) -> str:
    """`0.01`, `1`, `10⁵`: short numbers in full."""
    if -2 <= exponent <= 3:
        return f"{10.0**exponent:g}"
    return f"10{str(exponent).translate(_SUPERSCRIPTS)}"


def count(number: int, what: str) -> str:
    """`1 pole`, `4,096 poles`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """A share of 1: `10.8 %`; what rounding would hide is not hidden."""
    if 0.0 < share < 0.0005:
        return "<0.1 %"
    return f"{100.0 * share:.1f}".removesuffix(".0") + " %"


def compact(value: float) -> str:
    """A number to three digits, with k and M: `0.05`, `16k`, `1.05M`."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"
