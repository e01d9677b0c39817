"""Matching the names of two models that were wrapped differently.

The same parameter is `s4_layers.0.kernel.log_dt` in a bare state dict, `model.s4_layers...` below
a trainer, `module.s4_layers...` below DataParallel and `_orig_mod.s4_layers...` once compiled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ssmspec.families.catalog import ROOT
from ssmspec.naming import printable

WRAPPERS = frozenset({
    "state_dict", "model_state_dict", "model", "module", "_orig_mod", "net", "params",
})  # fmt: skip
"""Leading components that containers, trainers and wrappers add to every name (a heuristic)."""


@dataclass(frozen=True)
class Matching:
    """Names of A and B that are the same thing.

    Attributes:
        pairs: (name in A, name in B), in A's order.
        only_a: names only A has, in its order.
        only_b: likewise.
        stripped_a: prefixes that A's names were matched without.
        stripped_b: likewise.
    """

    pairs: tuple[tuple[str, str], ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    stripped_a: tuple[str, ...] = ()
    stripped_b: tuple[str, ...] = ()

    def assumption(self, what: str) -> str | None:
        """What was taken for granted about the names, as a sentence without its full stop."""
        sides = [
            f"{' and '.join(repr(printable(prefix)) for prefix in prefixes)} of {side}"
            for side, prefixes in (("A", self.stripped_a), ("B", self.stripped_b))
            if prefixes
        ]
        return f"{what} are matched without the prefix {' and '.join(sides)}" if sides else None


def match_names(a: Sequence[str], b: Sequence[str]) -> Matching:
    """Match dotted names: first equal ones, then those that are equal without wrapper prefixes.

    A name without its prefixes counts only where one name of each side comes down to it.
    """
    in_both = set(a) & set(b)
    partners = {name: name for name in in_both}
    rest_a, rest_b = ([n for n in names if n not in in_both] for names in (a, b))
    bare_b = {bare: name for name, bare in _unique(rest_b)}
    stripped: tuple[set[str], set[str]] = (set(), set())
    for name, bare in _unique(rest_a):
        partner = bare_b.get(bare)
        if partner is None:
            continue
        partners[name] = partner
        for prefixes, whole in zip(stripped, (name, partner), strict=True):
            if prefix := split_wrappers(whole)[0]:
                prefixes.add(prefix)
    taken = set(partners.values())
    return Matching(
        pairs=tuple((name, partners[name]) for name in a if name in partners),
        only_a=tuple(name for name in a if name not in partners),
        only_b=tuple(name for name in b if name not in taken),
        stripped_a=tuple(sorted(stripped[0])),
        stripped_b=tuple(sorted(stripped[1])),
    )


def match_renamed(a: Sequence[str], b: Sequence[str], renamed: Mapping[str, str]) -> Matching:
    """`match_names` where paths of B go by other names in A.

    Args:
        a: names of A.
        b: names of B.
        renamed: path in B -> path in A; what lies below goes with it.
    """
    if not renamed:
        return match_names(a, b)
    longest = sorted(renamed, key=len, reverse=True)
    taken, own = set(b), {}
    for name in b:
        path = next((path for path in longest if f"{name}.".startswith(f"{path}.")), None)
        new = name if path is None else f"{renamed[path]}{name[len(path) :]}".lstrip(".")
        own[name if new in taken and new != name else new] = name
    matching = match_names(a, tuple(own))
    return replace(
        matching,
        pairs=tuple((one, own[other]) for one, other in matching.pairs),
        only_b=tuple(own[name] for name in matching.only_b),
    )


def by_order(
    a: Sequence[tuple[str, object]], b: Sequence[tuple[str, object]]
) -> tuple[tuple[str, str], ...]:
    """Pairs of names in their order, where both sides hold the same shapes in one order.

    Args:
        a: (name, what it must have in common) of everything in A that no name matches.
        b: likewise.

    Returns:
        Nothing where the shapes differ.
    """
    if [shape for _, shape in a] != [shape for _, shape in b]:
        return ()
    return tuple((one, other) for (one, _), (other, _) in zip(a, b, strict=True))


def renames(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Path in B -> path in A, without the components that both names end in."""
    found: dict[str, str] = {}
    for one, other in pairs:
        left, right = one.split("."), other.split(".")
        while len(left) > 1 and len(right) > 1 and left[-1] == right[-1]:
            left, right = left[:-1], right[:-1]
        found[".".join(right)] = ".".join(left)
    return found


def split_wrappers(name: str) -> tuple[str, str]:
    """A name's wrapper prefix, with its dot, and the rest; the top of a file is an empty rest."""
    if name == ROOT:
        return "", ""
    parts = name.split(".")
    count = next((i for i, part in enumerate(parts) if part not in WRAPPERS), len(parts))
    prefix, rest = ".".join(parts[:count]), ".".join(parts[count:])
    return (f"{prefix}." if prefix else ""), rest


def _unique(names: Sequence[str]) -> list[tuple[str, str]]:
    """(name, bare name) of every name that no other comes down to."""
    bare = [split_wrappers(name)[1] for name in names]
    counts = Counter(bare)
    return [(name, rest) for name, rest in zip(names, bare, strict=True) if counts[rest] == 1]
