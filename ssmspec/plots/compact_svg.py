"""matplotlib's SVG rewritten for the inside of an HTML page: small, and colored by the page.

What matplotlib writes is a document: prolog, metadata, a style sheet for `*` that would reach the
whole page, ids that repeat from figure to figure, a `<use>` of 70 bytes for every dot.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

from ssmspec.plots.style import COLORS, SYSTEM_FONTS

_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_REFERENCE = re.compile(r"#([\w.-]+)")
_DOT = re.compile(r"M 0 (?P<radius>[\d.]+)\s+(?:C[-\d.\s]+){8}z")
_CORNER = re.compile(r"([ML]) (-?[\d.]+) (-?[\d.]+)\s*")
_LINES = re.compile(r"(?:[ML] -?[\d.]+ -?[\d.]+\s*)+")
_STILL = re.compile(r"rotate\(-?0 [^)]*\)")
_SPACES = re.compile(r"\s*([A-Za-z])\s*")
_PLACE = re.compile(r"([ML]|z)(?:(-?[\d.]+) (-?[\d.]+))?")
_CORNERS_ONLY = re.compile(r"(?:[ML]-?[\d.]+ -?[\d.]+|z)+")
_HIDDEN = ("fill: none", "fill: none; opacity: 0")
_VARIABLES = {color.light: f"var(--plot-{color.name},{color.light})" for color in COLORS}
_COLOR = re.compile("|".join(_VARIABLES))

DIGITS = 2
"""Decimals of a coordinate, in points: finer than any screen shows."""
DOT_DIGITS = 1
"""Likewise of a dot's place."""


def compacted(document: str, prefix: str | None, label: str | None) -> str:
    """The drawing of one SVG document as one element.

    Args:
        document: as matplotlib writes it, with text as text.
        prefix: of the ids; a hash of the content where it is None.
        label: what a screen reader says.
    """
    root = ET.fromstring(document)  # noqa: S314 - matplotlib's own output, not a file of the user's
    for element in root.iter():
        _strip_namespaces(element)
    for parent in list(root.iter()):
        _remove(parent, _is_dropped)
    definitions = {element.get("id", ""): element for element in root.iter() if element.get("id")}
    for element in root.iter():
        if element.tag in ("g", "defs"):
            element.attrib.pop("id", None)
    _flatten(root)
    for parent in list(root.iter()):
        _merge_uses(parent, definitions)
    _rename(root, prefix or f"p{hashlib.sha256(document.encode()).hexdigest()[:8]}")
    _flatten(root)
    for element in root.iter():
        _shorten(element)
    _as_element(root, label)
    return ET.tostring(root, encoding="unicode")


def _strip_namespaces(element: Element) -> None:
    element.tag = element.tag.rpartition("}")[2]
    for key in list(element.attrib):
        if "}" in key:
            element.set(key.rpartition("}")[2], element.attrib.pop(key))
    if element.tag != "text":
        element.text = None
    element.tail = None


def _remove(parent: Element, is_unwanted: Callable[[Element], bool]) -> bool:
    gone = [child for child in parent if is_unwanted(child)]
    for child in gone:
        parent.remove(child)
    return bool(gone)


def _is_dropped(element: Element) -> bool:
    return element.tag in ("metadata", "style") or (
        element.tag == "path" and element.get("style") in _HIDDEN
    )


def _flatten(parent: Element) -> None:
    """Groups that say nothing give way to their children; empty ones vanish."""
    children: list[Element] = []
    for child in parent:
        _flatten(child)
        if child.tag == "g" and not child.attrib:
            children += child
        elif len(child) or child.tag not in ("g", "defs"):
            children.append(child)
    parent[:] = children


def _merge_uses(parent: Element, definitions: dict[str, Element]) -> None:
    """Marks of one series as one path: dots as strokes without length, ticks and crosses as lines.

    Marks of other shapes stay as they are.
    """
    series: dict[tuple[str, str], list[Element]] = {}
    for child in parent:
        if child.tag == "use":
            key = child.get("href", "")[1:], child.get("style", "")
            series.setdefault(key, []).append(child)
    for (name, style), uses in series.items():
        shape = definitions[name].get("d", "").strip()
        places = [(float(use.get("x", "0")), float(use.get("y", "0"))) for use in uses]
        dot = _DOT.fullmatch(shape)
        if dot is not None:
            path = ET.Element("path", d=_dots(places), style=_dot_style(style, dot["radius"]))
        elif _LINES.fullmatch(shape):
            path = ET.Element("path", d=_copies(shape, places), style=style)
        else:
            continue
        parent[list(parent).index(uses[0])] = path
        for use in uses[1:]:
            parent.remove(use)


def _dots(places: list[tuple[float, float]]) -> str:
    """Each a step from the one before it, in tenths of a point, which is exact."""
    tenths = sorted({(round(10.0 * x), round(10.0 * y)) for x, y in places})
    parts, last = [], (0, 0)
    for x, y in tenths:
        parts.append(f"m{_tenth(x - last[0])} {_tenth(y - last[1])}h0")
        last = x, y
    return "".join(parts).replace(" -", "-")


def _tenth(count: int) -> str:
    return _rounded(f"{count / 10.0:.1f}", 1)


def _dot_style(style: str, radius: str) -> str:
    declared = dict(part.split(": ", 1) for part in style.split("; ") if ": " in part)
    declared["stroke"] = declared.pop("fill")
    declared["stroke-width"] = f"{2 * float(radius):.3g}"
    declared["stroke-linecap"] = "round"
    return "; ".join(f"{key}: {value}" for key, value in declared.items())


def _copies(shape: str, places: list[tuple[float, float]]) -> str:
    """A shape of straight lines at each of the places: its first corner there, then steps."""
    corners = [(m[1], float(m[2]), float(m[3])) for m in _CORNER.finditer(shape)]
    _, x, y = corners[0]
    steps = ""
    for (_, x0, y0), (command, x1, y1) in pairwise(corners):
        dx, dy = (_rounded(f"{step:f}", DIGITS) for step in (x1 - x0, y1 - y0))
        steps += f"{command.lower()}{dx} {dy}"
    starts = (
        f"M{_rounded(f'{left + x:f}', DOT_DIGITS)} {_rounded(f'{top + y:f}', DOT_DIGITS)}"
        for left, top in places
    )
    return "".join(start + steps for start in starts).replace(" -", "-")


def _references(element: Element) -> Iterator[tuple[str, str]]:
    for key in ("href", "clip-path"):
        value = element.get(key, "")
        if "#" in value and not value.startswith("data:"):
            yield key, value


def _rename(root: Element, prefix: str) -> None:
    """Ids that something refers to get short names of this figure's own; the others go."""
    names: dict[str, str] = {}
    for element in root.iter():
        for key, value in _references(element):
            old = _REFERENCE.findall(value)[0]
            name = names.setdefault(old, f"{prefix}-{len(names)}")
            element.set(key, value.replace(f"#{old}", f"#{name}"))
    for parent in list(root.iter()):
        for child in list(parent):
            old = child.get("id", "")
            if old in names:
                child.set("id", names[old])
            else:
                child.attrib.pop("id", None)
                if parent.tag == "defs" and child.tag == "path":
                    parent.remove(child)


def _shorten(element: Element) -> None:
    transform = element.get("transform")
    if transform is not None and _STILL.fullmatch(transform):
        del element.attrib["transform"]
    for key in ("d", "x", "y", "width", "height", "transform"):
        value = element.get(key)
        if value is not None:
            element.set(key, _NUMBER.sub(lambda m: _rounded(m[0], DIGITS), value))
    if "d" in element.attrib:
        element.set("d", _straightened(_SPACES.sub(r"\1", element.attrib["d"]).strip()))
    style = element.get("style")
    if style is not None:
        style = style.replace("font-family: 'DejaVu Sans'; ", "").replace("; ", ";")
        element.set("style", _COLOR.sub(lambda m: _VARIABLES[m[0]], style.replace(": ", ":")))


def _straightened(path: str) -> str:
    """Level and upright lines by one coordinate; lines of no length not at all."""
    if not _CORNERS_ONLY.fullmatch(path):
        return path
    parts, last = [], ("", "")
    for command, x, y in _PLACE.findall(path):
        if command == "z":
            parts.append("z")
        elif command == "M" or (x != last[0] and y != last[1]):
            parts.append(f"{command}{x} {y}")
        elif x != last[0]:
            parts.append(f"H{x}")
        elif y != last[1]:
            parts.append(f"V{y}")
        last = x, y
    return "".join(parts).replace(" -", "-")


def _rounded(number: str, digits: int) -> str:
    text = f"{float(number):.{digits}f}".rstrip("0").rstrip(".")
    text = text.replace("-0.", "-.", 1) if text.startswith("-0.") else text.removeprefix("0")
    return text if text not in ("", "-0") else "0"


def _as_element(root: Element, label: str | None) -> None:
    size = {key: root.get(key, "") for key in ("width", "height", "viewBox")}
    root.attrib.clear()
    root.set("xmlns", "http://www.w3.org/2000/svg")
    for key, value in size.items():
        root.set(key, value.removesuffix("pt"))
    root.set("role", "img")
    if label is not None:
        root.set("aria-label", label)
    root.set("style", f"font-family:{SYSTEM_FONTS};stroke-linejoin:round;stroke-linecap:butt")
