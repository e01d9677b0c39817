"""`npz`: a user's own arrays.

`--data FILE.npz` with arrays, or `--data FOLDER` with one .npy file each:

    x           (n, L) or (n, L, d) floats: numbers; (n, L) integers from 0: tokens
    y           decides what is asked, by its type and shape:
                integers (n,)                      one class a sequence
                integers (n, L)                    one class a sample, -100 where nothing is asked
                floats (n, L) or (n, L, d_output)  numbers a sample, NaN where nothing is asked
    lengths     integers (n,), optional: samples that count where sequences are padded at the end

and the same with `_val` and `_test` for the examples to validate and test on. Where neither is
given, a tenth of the examples each is held out; where only `_test` is, a tenth is held out for
validation; where only `_val` is, the model is tested on it too. What is held out follows from the
setting `split_seed`, not from the run's seed, so that runs are compared on the same examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssmspec.arrays import Array
from ssmspec.errors import UsageError
from ssmspec.naming import printable
from ssmspec.training.tasks.array_files import extremes, first_not_finite, read_arrays
from ssmspec.training.tasks.base import IGNORED, Data, Readout, Target, Task, TaskOptions
from ssmspec.training.tasks.settings import Settings, fixed_length, read_settings
from ssmspec.training.tasks.splits import ArraySplit, held_out_rows

SETTINGS = (("readout", "mean"), ("sample_rate", "0"), ("row_stride", "0"), ("split_seed", "0"))
PARTS = ("", "_val", "_test")
NAMES = tuple(f"{name}{part}" for part in PARTS for name in ("x", "y", "lengths"))
HELD_OUT = 0.1
MOST_KINDS = 2**20
"""Classes or tokens that a model can tell apart; a heuristic, above any vocabulary in use."""
WANTED = (
    "a file with arrays x (n, L, d) and y, or a folder with x.npy and y.npy; y of integers (n,) "
    "is a class for a sequence"
)


@dataclass(frozen=True, eq=False)
class Part:
    """The arrays of one part of the data, checked one by one."""

    x: Array
    y: Array
    lengths: Array | None

    def split(self, rows: Array | None = None) -> ArraySplit:
        """All examples, or those in these rows, int64 (m,)."""
        prepare = _tokens if self.x.dtype.kind in "iu" else _numbers
        return ArraySplit(self.x, self.y, prepare, self.lengths, rows)


def load(options: TaskOptions) -> Data:
    """The arrays, as they say themselves what they are.

    Raises:
        UsageError: no data are given, or something about them does not fit.
    """
    settings = read_settings("npz", SETTINGS, options)
    if options.data is None:
        raise UsageError(f"npz needs --data: {WANTED}")
    parts = _parts(options.data)
    first = parts[""]
    target = _target(first, options.data)
    for name, part in parts.items():
        _require_alike(name, part, first, options.data)
    length = fixed_length("these arrays", options, first.x.shape[1])
    tokens = first.x.dtype.kind in "iu"
    train, validation, test = _splits(parts, settings.integer("split_seed", 0))
    return Data(
        train=train,
        validation=validation,
        test=test,
        target=target,
        d_input=1 if first.x.ndim == 2 else first.x.shape[2],
        d_output=_outputs(target, parts),
        seq_len=length,
        vocabulary=_kinds("x", "tokens", [p.x for p in parts.values()]) if tokens else None,
        readout=Readout(settings.choice("readout", tuple(kind.value for kind in Readout))),
        sample_rate=_rate(settings),
        row_stride=settings.integer("row_stride", 0) or None,
    )


def _rate(settings: Settings) -> float | None:
    """The sample rate, where one is set; 0 sets none."""
    if settings.values["sample_rate"] == "0":
        return None
    return settings.number("sample_rate", 0.0, np.inf)


def _tokens(x: Array) -> Array:
    return np.asarray(x, dtype=np.int64)


def _numbers(x: Array) -> Array:
    numbers = np.asarray(x, dtype=np.float32)
    return numbers[..., None] if numbers.ndim == 2 else numbers


def _parts(path: Path) -> dict[str, Part]:
    shown = printable(str(path))
    arrays = read_arrays(path, NAMES)
    parts = {}
    for ending in PARTS:
        x, y = arrays.get(f"x{ending}"), arrays.get(f"y{ending}")
        if x is None and y is None and f"lengths{ending}" not in arrays and ending:
            continue
        if x is None or y is None:
            missing = f"x{ending}" if x is None else f"y{ending}"
            raise UsageError(f"{shown} has no {missing}; npz needs {WANTED}")
        _check_x(f"x{ending} in {shown}", x)
        lengths = _lengths(f"lengths{ending} in {shown}", arrays.get(f"lengths{ending}"), x)
        parts[ending] = Part(x, _answers(f"y{ending} in {shown}", y, x), lengths)
    return parts


def _check_x(name: str, x: Array) -> None:
    if x.ndim not in (2, 3) or 0 in x.shape:
        raise UsageError(f"{name} has shape {x.shape}; it must be (n, L) or (n, L, d)")
    if x.dtype.kind not in "iuf":
        raise UsageError(f"{name} is {x.dtype}; store numbers as floats and tokens as integers")
    if x.dtype.kind in "iu":
        if x.ndim == 3:
            raise UsageError(
                f"{name} has integers of shape {x.shape}: tokens have shape (n, L), and numbers "
                f"are stored as floats"
            )
        if extremes(x)[0] < 0:
            raise UsageError(f"{name} has a token below 0; tokens count from 0")
    place = first_not_finite(x)
    if place is not None:
        raise UsageError(f"{name} is NaN or infinite in float32 at {_index(place)}")


def _answers(name: str, y: Array, x: Array) -> Array:
    """The answers as `Target` wants them stored: int64, or float32 with three axes."""
    if y.shape[:1] != x.shape[:1]:
        raise UsageError(f"{name} has shape {y.shape}, but x has {len(x)} examples")
    if y.ndim > 1 and y.shape[1] != x.shape[1]:
        raise UsageError(f"{name} has shape {y.shape}, but sequences have {x.shape[1]} samples")
    if y.dtype.kind in "iu" and y.ndim in (1, 2):
        lowest = extremes(np.where(y == IGNORED, 0, y) if y.ndim == 2 else y)[0]
        if lowest < 0:
            raise UsageError(f"{name} has a class of {lowest}; classes count from 0")
        return np.asarray(y, dtype=np.int64)
    if y.dtype.kind == "f" and y.ndim in (2, 3) and y.size:
        place = first_not_finite(y, nan_is_fine=True)
        if place is not None:
            raise UsageError(f"{name} is infinite in float32 at {_index(place)}")
        if np.isnan(y).all():
            raise UsageError(f"{name} is NaN everywhere, so that nothing is asked")
        values = np.asarray(y, dtype=np.float32)
        return values[..., None] if y.ndim == 2 else values
    if y.dtype.kind == "f" and y.ndim == 1:
        raise UsageError(
            f"{name} has one number a sequence; store classes as integers, or a number to be said "
            f"at the end as (n, L, 1) with NaN at all samples but the last"
        )
    raise UsageError(f"{name} is {y.dtype} of shape {y.shape}; {WANTED}")


def _lengths(name: str, lengths: Array | None, x: Array) -> Array | None:
    if lengths is None:
        return None
    if lengths.dtype.kind not in "iu" or lengths.shape != (len(x),):
        raise UsageError(
            f"{name} is {lengths.dtype} of shape {lengths.shape}; it must be integers ({len(x)},)"
        )
    low, high = extremes(lengths)
    if low < 1 or high > x.shape[1]:
        raise UsageError(f"{name} must lie in 1 to {x.shape[1]}, got {low} to {high}")
    return np.asarray(lengths, dtype=np.int64)


def _target(part: Part, path: Path) -> Target:
    if part.y.dtype.kind == "f":
        return Target.VALUE_PER_STEP
    if part.y.ndim == 2:
        if (part.y == IGNORED).all():
            raise UsageError(
                f"y in {printable(str(path))} is {IGNORED} everywhere: nothing is asked"
            )
        return Target.CLASS_PER_STEP
    return Target.CLASS


def _require_alike(name: str, part: Part, first: Part, path: Path) -> None:
    """Refuse a part that asks something else than the part to learn from."""
    for letter, ours, theirs in (("x", part.x, first.x), ("y", part.y, first.y)):
        same_kind = (ours.dtype.kind == "f") == (theirs.dtype.kind == "f")
        if ours.shape[1:] != theirs.shape[1:] or not same_kind:
            raise UsageError(
                f"{letter}{name} in {printable(str(path))} is {ours.dtype} of shape {ours.shape}, "
                f"but {letter} is {theirs.dtype} of shape {theirs.shape}; they must be alike"
            )
    if (part.lengths is None) != (first.lengths is None):
        raise UsageError(f"lengths in {printable(str(path))} must be given for all parts or none")


def _outputs(target: Target, parts: Mapping[str, Part]) -> int:
    if target is Target.VALUE_PER_STEP:
        return int(parts[""].y.shape[2])
    classes = _kinds("y", "classes", [part.y for part in parts.values()])
    if classes < 2:
        raise UsageError("y has a single class, so that there is nothing to learn")
    return classes


def _kinds(name: str, what: str, arrays: Sequence[Array]) -> int:
    """How many kinds integers from 0 can be of; each takes a row of the model's weights."""
    kinds = max(extremes(array)[1] for array in arrays) + 1
    if kinds > MOST_KINDS:
        raise UsageError(
            f"{name} has a number of {kinds - 1:,}, so that the model would need {kinds:,} {what}; "
            f"number them from 0 without gaps (at most {MOST_KINDS:,})"
        )
    return kinds


def _splits(
    parts: Mapping[str, Part], split_seed: int
) -> tuple[ArraySplit, ArraySplit, ArraySplit]:
    train = parts[""]
    if "_val" in parts:
        validation = parts["_val"].split()
        return train.split(), validation, parts["_test"].split() if "_test" in parts else validation
    rows, n = np.arange(len(train.x)), len(train.x)
    if n < (2 if "_test" in parts else 3):
        raise UsageError(f"{n} examples are too few to hold some out; give x_val and x_test")
    if "_test" in parts:
        rows, held = held_out_rows(n, HELD_OUT, split_seed)
        return train.split(rows), train.split(held), parts["_test"].split()
    rows, held = held_out_rows(n, 2 * HELD_OUT, split_seed)
    if len(held) < 2:
        rows, held = rows[:-1], np.append(held, rows[-1])
    order = np.random.Generator(np.random.PCG64((split_seed, 1))).permutation(held)
    half = len(held) // 2
    return (
        train.split(rows),
        train.split(np.sort(order[:half])),
        train.split(np.sort(order[half:])),
    )


def _index(place: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, place))}]"


NPZ = Task(
    id="npz",
    title="Your own arrays",
    summary="x (n, L, d) numbers or (n, L) tokens in, classes or numbers out, as y says",
    source="the user's",
    load=load,
    needs="--data FILE.npz with arrays x and y, or a folder with x.npy and y.npy",
    settings=SETTINGS,
)
