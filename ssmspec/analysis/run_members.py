"""Which checkpoints make up a run, and in which order: by what their names count.

`checkpoint-500` (transformers), `epoch=3-step=2000.ckpt` (Lightning), `global_step500` (DeepSpeed),
`iter_0000500` (Megatron), `step-00000500.safetensors` (`ssmspec train --keep-every`),
`model_500.pt`, `hf://owner/name@step-500`. A file without a number in its name is called after its
folder: `step-500/model.safetensors`.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

from ssmspec.checkpoints import CONTAINERS
from ssmspec.checkpoints.directory import MAX_ENTRIES, NO_MODELS
from ssmspec.checkpoints.remote import url_of
from ssmspec.errors import UsageError
from ssmspec.naming import natural_key, shown

BELOW = ("snapshots", "checkpoints")
"""Folders in which `ssmspec train` and Lightning keep the checkpoints of a run."""

_UNIT = r"[-_=]?(\d{1,15})([kKmM])?(?![0-9A-Za-z])"
_COUNTED = {
    "step": re.compile(rf"(?:^|[^a-z])(?:global_?)?steps?{_UNIT}", re.IGNORECASE),
    "checkpoint": re.compile(
        rf"(?:^|[^a-z])(?:checkpoint|ckpt|chkpt|iter|iteration){_UNIT}", re.IGNORECASE
    ),
    "epoch": re.compile(rf"(?:^|[^a-z])epochs?{_UNIT}", re.IGNORECASE),
}
"""What a name says that it counts -> where the number is; the first that fits is taken."""

NUMBER = "number"
_DIGITS = re.compile(r"\d+")
_TIMES = {"": 1, "k": 1_000, "m": 1_000_000}
_BESIDE = re.compile(r"\.|optim|scheduler|scaler|rng_state|events", re.IGNORECASE)
"""How names of what lies beside a model begin."""
_PART = re.compile(r"-of-\d|(?:^|[-_])rank_?\d|^__\d")
"""In names of what is a part of one checkpoint."""


@dataclass(frozen=True)
class Member:
    """One checkpoint of a run: its step, and its path or address as text."""

    step: int
    path: str


def members(given: Sequence[str]) -> tuple[str, tuple[Member, ...], tuple[str, ...]]:
    """The checkpoints of a run in the order of their steps.

    Args:
        given: folders, globs, files and addresses.

    Returns:
        What their names count, the checkpoints, and names of what was passed over.

    Raises:
        UsageError: there are fewer than two, one has no number, two have the same, or some count
            one thing and some another.
    """
    passed: list[str] = []
    paths = list(dict.fromkeys(path for each in given for path in _expanded(each, passed)))
    counted = _counted({path: _called(path) for path in paths})
    kinds = {kind: path for path, (kind, _) in reversed(counted.items())}
    if len(kinds) > 1:
        (one, path), (other, second) = sorted(kinds.items())[:2]
        raise UsageError(
            f"{shown(path)} counts by {one} and {shown(second)} by {other}, so they have no common "
            f"order; give the checkpoints of one run"
        )
    ordered = sorted((Member(step, path) for path, (_, step) in counted.items()), key=_by_step)
    for before, after in pairwise(ordered):
        if before.step == after.step:
            raise UsageError(
                f"{shown(before.path)} and {shown(after.path)} are both of {_one(kinds)} "
                f"{before.step}; give the checkpoints of one run, one a step"
            )
    if len(ordered) < 2:
        found = f"only {shown(ordered[0].path)} was found" if ordered else "none was found"
        raise UsageError(
            f"a run has two or more checkpoints, and {found}; give the folder or a glob that holds "
            f"them, or use ssmspec analyze for a single one"
        )
    return _one(kinds), tuple(ordered), tuple(passed)


def _one(kinds: Iterable[str]) -> str:
    return next(iter(kinds))


def _by_step(member: Member) -> tuple[int, str]:
    return member.step, member.path


def _expanded(given: str, passed: list[str]) -> Iterator[str]:
    if url_of(given) is not None:
        yield given
    elif Path(given).is_dir():
        yield from _in_folder(Path(given), passed)
    elif glob.has_magic(given) and not os.path.lexists(given):
        found = list(islice(glob.iglob(given), MAX_ENTRIES + 1))  # noqa: PTH207 - takes any folder
        if not found:
            raise UsageError(f"nothing fits {shown(given)}; give a folder, a glob or checkpoints")
        yield from sorted(found, key=natural_key)
    else:
        yield given  # one that is not there is told of by whoever opens it


def _in_folder(folder: Path, passed: list[str]) -> Iterator[str]:
    """The checkpoints in a folder; the folder itself where it is one of them."""
    if _keyword(folder.resolve().name) is not None:
        yield str(folder)
        return
    try:
        entries = list(islice(folder.iterdir(), MAX_ENTRIES + 1))
    except OSError as error:
        raise UsageError(f"{shown(folder)}: {error.strerror or 'cannot be read'}") from None
    if len(entries) > MAX_ENTRIES:
        raise UsageError(f"{shown(folder)} holds more than {MAX_ENTRIES:,} files; give a glob")
    entries.sort(key=lambda entry: natural_key(entry.name))
    files = [entry for entry in entries if _is_candidate(entry)]
    bare = [entry for entry in files if _DIGITS.search(entry.stem)]
    found = [entry for entry in files if _keyword(entry.name)] or (bare if len(bare) > 1 else [])
    if found:
        passed += [entry.name for entry in files if entry not in found]
        yield from map(str, found)
        return
    below = [entry for entry in entries if entry.name in BELOW and entry.is_dir()]
    if below:
        yield from _in_folder(below[0], passed)
    else:
        yield str(folder)


def _is_candidate(entry: Path) -> bool:
    """Whether an entry of a run's folder may be one of its checkpoints, by its name."""
    name = entry.name
    says = _keyword(name) is not None
    if name in NO_MODELS or _BESIDE.match(name) or (_PART.search(name) and not says):
        return False
    if entry.is_dir():
        return says or name.isdecimal()
    return name.lower().endswith(_suffixes()) and not name.endswith(".json")


def _suffixes() -> tuple[str, ...]:
    return tuple(suffix for kind in CONTAINERS.values() for suffix in kind.suffixes)


def _called(path: str) -> str:
    """The part of a path or an address that may hold a step, without its suffix."""
    url = url_of(path)
    if url is not None and "@" in url:
        return url.rpartition("@")[2].partition("/")[0]
    parts = Path(path.rstrip("/")).resolve().parts if url is None else Path(url).parts
    name = parts[-1] if parts else ""
    suffix = next((s for s in _suffixes() if name.lower().endswith(s)), "")
    name = name[: len(name) - len(suffix)]
    above = parts[-2] if suffix and len(parts) > 1 else ""
    says = above.isdecimal() or _keyword(above) is not None
    return above if says and not _DIGITS.search(name) else name


def _keyword(name: str) -> tuple[str, int] | None:
    """What a name says that it counts, and how far it has."""
    for kind, pattern in _COUNTED.items():
        match = pattern.search(name)
        if match:
            return kind, int(match[1]) * _TIMES[(match[2] or "").lower()]
    return None


def _counted(names: dict[str, str]) -> dict[str, tuple[str, int]]:
    """Path -> (what is counted, step); a bare number is the one that the names differ in."""
    found = {path: _keyword(name) for path, name in names.items()}
    bare = {path: names[path] for path, known in found.items() if known is None}
    place = _differing(bare)
    return {
        path: known or (NUMBER, int(_DIGITS.findall(names[path])[place]))
        for path, known in found.items()
    }


def _differing(names: dict[str, str]) -> int:
    """Which of the numbers in names without a keyword is the step.

    Raises:
        UsageError: a name has no number, or they differ in something else, or in two numbers.
    """
    for path, name in names.items():
        if not _DIGITS.search(name) or max(map(len, _DIGITS.findall(name))) > 15:
            raise UsageError(
                f"{shown(path)} has no step in its name, so its place in a run is unknown; name "
                f"it like step-500"
            )
    numbers = [tuple(map(int, _DIGITS.findall(name))) for name in names.values()]
    if len(set(map(len, numbers))) <= 1:
        differ = [i for i, column in enumerate(zip(*numbers, strict=True)) if len({*column}) > 1]
        shapes = Counter(_DIGITS.sub("0", name) for name in names.values())
        if len(shapes) <= 1 and len(differ) <= 1:
            return differ[0] if differ else 0
    one, *_, other = names
    raise UsageError(
        f"the names {shown(Path(one).name)} and {shown(Path(other).name)} do not say which number "
        f"is the step; give checkpoints whose names differ in one number, or say step-500"
    )
