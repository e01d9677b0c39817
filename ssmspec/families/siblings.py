"""Layers that lack a tensor their siblings have.

Siblings are layers of one family whose paths differ in numbers only. Where one of them lost a
tensor on the way to the file, a loader would draw a new one without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from ssmspec.families.base import Family, LayerSite
from ssmspec.families.catalog import Catalog, bare_path
from ssmspec.naming import printable
from ssmspec.outcome import Skipped

ENOUGH = 0.5
"""Share of a sibling's tensors that makes a module one of them. Heuristic."""

_NUMBER = re.compile(r"\d+")


def incomplete(
    catalog: Catalog, found: Iterable[tuple[Family, LayerSite]], known: Mapping[str, object]
) -> Iterator[Skipped]:
    """Modules that hold only tensors of a sibling's, and not all of those that set its poles.

    Args:
        catalog: the checkpoint's modules.
        found: layers that can be read.
        known: names of those; whatever is not among them may have lost something.
    """
    seen: set[tuple[str, str]] = set()
    for family, site in found:
        path = bare_path(site.name.partition(" (")[0])
        pattern = _NUMBER.sub("#", path)
        if pattern == path or (family.id, pattern) in seen:
            continue
        seen.add((family.id, pattern))
        whole = dict(_below(catalog, path))
        needed = {name for name, tensor in whole.items() if tensor in site.tensors.values()}
        for other in _alike(catalog, pattern.split(".")):
            name = catalog.written(other)
            if name in known:
                continue
            held = {relative for relative, _ in _below(catalog, other)}
            missing = sorted(needed - held)
            if missing and held < whole.keys() and len(held) >= ENOUGH * len(whole):
                yield _skipped(catalog, family, name, missing)


def _skipped(catalog: Catalog, family: Family, name: str, missing: list[str]) -> Skipped:
    metadata = catalog.checkpoint.metadata
    shared = [leaf for leaf in missing if f"{name}.{leaf}" in metadata]
    if shared:
        kept = metadata[f"{name}.{shared[0]}"]
        return Skipped(
            name,
            f"like {family.title}, but {printable(shared[0])} is stored as {printable(kept)}, "
            f"which the file's metadata says it shares",
        )
    verb, one = ("is", "a new one") if len(missing) == 1 else ("are", "new ones")
    told = f"like {family.title}, {printable(' and '.join(missing))} {verb} missing"
    return Skipped(name, f"{told}: a loader would draw {one}", lost=tuple(missing))


def _below(catalog: Catalog, path: str) -> Iterator[tuple[str, str]]:
    """(relative dotted name, tensor name) of everything at and below a module."""
    yield from catalog.leaves(path).items()
    for child in catalog.children.get(path, ()):
        for relative, name in _below(catalog, f"{path}.{child}" if path else child):
            yield f"{child}.{relative}", name


def _alike(catalog: Catalog, pattern: list[str], path: str = "") -> Iterator[str]:
    """The module paths that fit a pattern, `#` standing for digits."""
    if not pattern:
        yield path
        return
    for child in sorted(catalog.children.get(path, ())):
        if _NUMBER.sub("#", child) == pattern[0]:
            yield from _alike(catalog, pattern[1:], f"{path}.{child}" if path else child)
