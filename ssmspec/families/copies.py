"""Several copies of one model in one file: a trainer's model and its moving average.

Copies are told by their names (a path component that speaks of averages, or of the best or an older
state) and by their layers: each has a namesake of the same shapes in the rest of the file. One copy
is measured, the one that is not an average, and the report says which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ssmspec.errors import UsageError
from ssmspec.families.catalog import ROOT
from ssmspec.naming import did_you_mean, printable

AVERAGES = frozenset({
    "ema", "average", "averaged", "avg", "swa", "shadow", "teacher", "target", "polyak", "best",
    "old", "previous", "prev", "backup", "snapshot", "momentum", "lastgood",
})  # fmt: skip
"""Words in a path component that make what is below a second copy."""

_WORDS = re.compile(r"[A-Za-z][a-z]*")

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Copies:
    """What is to be measured of a file that may hold several copies.

    Attributes:
        kept: names of layers.
        left: name of a layer -> why it was left out.
        note: the sentence for a report; empty where there is one copy.
    """

    kept: frozenset[str]
    left: Mapping[str, str]
    note: str = ""


def choose(layers: Mapping[str, Shapes], part: str | None) -> Copies:
    """The layers of one copy.

    Args:
        layers: name of every layer found -> shapes of its parameters.
        part: which copy, by a prefix of its layers' paths or a component of it; None for the one
            that is not an average.

    Raises:
        UsageError: no layer lies below `part`.
    """
    averages: dict[str, dict[str, str]] = {}
    for name in layers:
        prefix = _average(name)
        if prefix is not None:
            averages.setdefault(prefix, {})[name] = name[len(prefix) + 1 :] or ROOT
    plain = [name for name in layers if _average(name) is None]
    copies = {
        prefix: origin
        for prefix, members in averages.items()
        if (origin := _origin(members, plain, layers)) is not None
    }
    if part is not None:
        return _below(layers, part, copies)
    if not copies:
        return Copies(frozenset(layers), {})
    measured = " and ".join(sorted({f"'{printable(origin)}'" for origin in copies.values()}))
    others = " and ".join(f"'{printable(prefix)}'" for prefix in sorted(copies))
    left = {
        name: f"a second copy of the model below '{printable(prefix)}' (--part {prefix} measures "
        f"it)"
        for prefix in copies
        for name in averages[prefix]
    }
    count = {2: "two"}.get(len(copies) + 1, str(len(copies) + 1))
    note = (
        f"the file holds {count} copies of one model, {measured} and {others}: {measured} is "
        f"measured (--part {sorted(copies)[0]} measures the other)"
    )
    return Copies(frozenset(layers) - left.keys(), left, note)


def _average(name: str) -> str | None:
    """The path up to and with the components that speak of a second copy, or None."""
    parts = name.split(".")
    speaking = [any(word.lower() in AVERAGES for word in _WORDS.findall(part)) for part in parts]
    if True not in speaking:
        return None
    end = speaking.index(True)
    while end < len(parts) and speaking[end]:
        end += 1
    return ".".join(parts[:end])


def _origin(
    members: Mapping[str, str], plain: Iterable[str], layers: Mapping[str, Shapes]
) -> str | None:
    """The prefix below which every layer of an average has its namesake, or None."""
    candidates = list(plain)
    prefixes: set[str] | None = None
    for name, rest in members.items():
        ends = _endings(rest)
        found = {
            other[: len(other) - len(end)].rstrip(".")
            for other in candidates
            for end in ends
            if f".{other}".endswith(f".{end}") and layers[other] == layers[name]
        }
        prefixes = found if prefixes is None else prefixes & found
        if not prefixes:
            return None
    if not prefixes or len(prefixes) > 1:  # a namesake in several places is no copy of one of them
        return None
    (prefix,) = prefixes
    beside = [name for name in candidates if not prefix or f"{name}.".startswith(f"{prefix}.")]
    return (prefix or "the rest") if len(beside) == len(members) else None


def _endings(rest: str) -> list[str]:
    """A path below an average, also without the wrappers that averages add to it."""
    parts = rest.split(".")
    endings = [rest]
    while len(parts) > 1 and parts[0] in ("module", "model", "ema_model", "state_dict"):
        parts = parts[1:]
        endings.append(".".join(parts))
    return endings


def _below(layers: Mapping[str, Shapes], part: str, copies: Mapping[str, str]) -> Copies:
    kept = {name for name in layers if lies_below(name, part)}
    if layers and not kept:
        names = {*copies, *copies.values()} or {name.partition(".")[0] for name in layers}
        raise UsageError(
            f"no state-space layer lies below --part {part!r}; "
            f"{did_you_mean(part, map(printable, names))}"
        )
    note = f"only what lies below '{printable(part)}' is measured (--part)"
    return Copies(frozenset(kept), {}, note)


def lies_below(name: str, part: str) -> bool:
    """Whether a layer's path begins with `part`, or has it for a component."""
    return f"{name}.".startswith(f"{part}.") or part in name.split(".")[:-1]
