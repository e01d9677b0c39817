"""Hostile values and shapes of every family through every command and format.

    python -m benchmarks.hostile_values --count 20000 --seed 0

A case is an example checkpoint of one family with one tensor changed (huge, tiny, NaN, infinite,
no axis left, complex) or one axis of all of them emptied. Each is read by one command line, drawn
at random, inside this process. Right is an exit code of 0, 1 or 2 without an internal error,
without a warning of numpy or matplotlib, and with JSON that any reader takes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssmspec.cli import run
from tests.examples.families import EXAMPLES as DIAGONAL
from tests.examples.families_dplr import EXAMPLES as DPLR
from tests.examples.families_more import EXAMPLES as MORE
from tests.examples.families_selective import EXAMPLES as SELECTIVE

Array = NDArray[Any]
EXAMPLES = DIAGONAL | SELECTIVE | MORE | DPLR


def _first(value: float) -> Callable[[Array], Array]:
    def change(array: Array) -> Array:
        array = np.array(array, np.result_type(array.dtype, np.float32))
        array.flat[:1] = value
        return array

    return change


def _all(value: float) -> Callable[[Array], Array]:
    return lambda array: np.full(array.shape, value, np.result_type(array.dtype, np.float32))


VALUES: Mapping[str, Callable[[Array], Array]] = {
    "one 1e20": _first(1e20),
    "one -1e20": _first(-1e20),
    "all 1e20": _all(1e20),
    "all -1e20": _all(-1e20),
    "one 1e300": lambda array: _first(1e300)(np.asarray(array, np.result_type(array, np.float64))),
    "one denormal": _first(1e-42),
    "all denormal": _all(1e-42),
    "all denormal in double": lambda array: np.full(array.shape, -5e-324),
    "all 0": _all(0.0),
    "one NaN": _first(np.nan),
    "all NaN": _all(np.nan),
    "one infinite": _first(np.inf),
    "all -infinite": _all(-np.inf),
    "0-d": lambda array: np.array(array.flat[0] if array.size else 0.0),
    "an axis more": lambda array: array[None],
    "empty": lambda array: array[:0] if array.ndim else np.empty(0),
    "no last axis": lambda array: array[..., :0] if array.ndim else np.empty(0),
    "complex": lambda array: array.astype(np.complex64),
    "integers": lambda array: np.real(array).astype(np.int64),
    "half precision": lambda array: np.real(array).astype(np.float16),
}

READING = ("--seq-len", "256", "--sample-rate", "16000")
KINDS = ("poles", "coverage", "entanglement", "timescales", "kernels", "response", "sweep")
FORMATS = ("text", "json", "csv", "markdown", "html")


def commands() -> Iterator[tuple[str, ...]]:
    """Every command line; MODEL is the hostile file, CLEAN the one it was made from."""
    for form in FORMATS:
        yield "analyze", "MODEL", *READING, "--format", form
        yield "analyze", "MODEL", "--verbose", "--format", form
        yield "analyze", "MODEL", *READING, "--against", "s4d-lin", "--format", form
        yield "analyze", "MODEL", *READING, "--sweep", "dt", "--format", form
        yield "analyze", "MODEL", "--sweep", "xi", "--format", form
        yield "analyze", "MODEL", *READING, "--stored-as", "fp8-e4m3", "--format", form
        yield "compare", "CLEAN", "MODEL", *READING, "--format", form
        yield "compare", "MODEL", "CLEAN", "--verbose", "--format", form
    for form in ("text", "json", "markdown", "html", "junit", "github"):
        yield "check", "MODEL", *READING, "--preset", "strict", "--format", form
        yield "check", "MODEL", "--verbose", "--format", form
    yield "check", "MODEL", *READING, "--write-baseline", "OUT.json", "--force"
    for scheme in ("dfout", "s4d-lin"):
        for form in ("text", "json", "markdown", "html"):
            yield "reinit", "MODEL", "--scheme", scheme, "--dry-run", *READING, "--format", form
    for kind in KINDS:
        for ending in ("svg", "png"):
            dpi = ("--dpi", "40") if ending == "png" else ()
            yield "plot", "MODEL", "-k", kind, "-o", f"OUT.{ending}", "--force", *READING, *dpi


COMMANDS = tuple(commands())


@dataclass(frozen=True)
class Case:
    """One example with one hostile change, and one command line that reads it."""

    example: str
    tensor: str
    change: str
    command: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.example}: {self.tensor} {self.change}: {' '.join(self.command)}"


@dataclass
class Tally:
    """How the command lines ended, by command and exit code, and the cases that fell."""

    outcomes: Counter[tuple[str, int]] = field(default_factory=Counter)
    falls: list[tuple[Case, str]] = field(default_factory=list)


def drawn(rng: random.Random) -> Case:
    """A case at random; one in eight empties an axis of every tensor that has it."""
    example = rng.choice(list(EXAMPLES))
    tensors = EXAMPLES[example]().tensors
    command = rng.choice(COMMANDS)
    if rng.random() < 0.125:
        lengths = sorted({n for array in tensors.values() for n in array.shape})
        return Case(example, "every axis of", str(rng.choice(lengths)), command)
    return Case(example, rng.choice(list(tensors)), rng.choice(list(VALUES)), command)


def changed(case: Case) -> dict[str, Array]:
    """The tensors of a case."""
    tensors = dict(EXAMPLES[case.example]().tensors)
    if case.change.isdigit():
        length = int(case.change)
        for name, array in tensors.items():
            tensors[name] = np.empty([0 if n == length else n for n in array.shape], array.dtype)
    else:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tensors[case.tensor] = VALUES[case.change](np.asarray(tensors[case.tensor]))
    return tensors


def outcome_of(case: Case, folder: Path) -> tuple[int, str]:
    """The exit code, and what is wrong; "" where nothing is."""
    example = EXAMPLES[case.example]()
    for name, tensors in (("MODEL", changed(case)), ("CLEAN", example.tensors)):
        with (folder / f"{name}.npz").open("wb") as file:
            np.savez(file, **tensors)  # type: ignore[arg-type]  # names are taken for options
    places = {"MODEL": folder / "MODEL.npz", "CLEAN": folder / "CLEAN.npz"}
    words = [str(places.get(word, word)) for word in case.command]
    words = [str(folder / word) if word.startswith("OUT.") else word for word in words]
    words += _told(example.reading)
    out, said = io.StringIO(), io.StringIO()
    with (
        warnings.catch_warnings(record=True) as heard,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(said),
    ):
        warnings.simplefilter("always")
        code = run(words)
    return code, _wrong(code, out.getvalue(), said.getvalue(), heard, "json" in case.command)


def _told(reading: Any) -> list[str]:
    """What an example's reading says as options."""
    told = []
    for option in ("discretization", "dt_transform", "family", "part"):
        if value := getattr(reading, option, None):
            told += [f"--{option.replace('_', '-')}", getattr(value, "value", value)]
    return told


def _wrong(
    code: int, out: str, said: str, heard: list[warnings.WarningMessage], is_json: bool
) -> str:
    if heard:
        first = heard[0]
        return f"{first.category.__name__}: {first.message} ({first.filename}:{first.lineno})"
    if "internal error" in said or "Traceback" in said:
        return said.strip()
    if code not in (0, 1, 2):
        return f"exit code {code}"
    if code == 2 and not (said.strip() or out.strip()):
        return "exit code 2 without a word"
    if is_json and out:
        try:
            json.loads(out, parse_constant=_refuse)
        except ValueError as error:
            return f"no JSON: {error}"
    if omitted := re.search(r"[^<>\n]{0,100}(?:could not|cannot) be drawn[^<>\n]{0,100}", out):
        return omitted[0]
    return ""


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def attack(count: int, seed: int) -> Tally:
    """So many cases; number i follows from (seed, i)."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as name:
        for number in range(count):
            case = drawn(random.Random(f"{seed} {number}"))
            code, wrong = outcome_of(case, Path(name))
            tally.outcomes[case.command[0], code] += 1
            if wrong:
                tally.falls.append((case, wrong))
    return tally


def main() -> None:
    """Attack and print the tally; exit 1 where anything fell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tally = attack(options.count, options.seed)
    print(f"{'command':8} exit code  cases")
    for (command, code), cases in sorted(tally.outcomes.items()):
        print(f"{command:8} {code:9}  {cases:,}")
    kinds = Counter(wrong for _, wrong in tally.falls)
    for case, wrong in tally.falls:
        if kinds.pop(wrong, 0):
            print(f"fell: {case}\n      {wrong}")
    print(f"{options.count:,} cases, {len(tally.falls):,} fell")
    sys.exit(bool(tally.falls))


if __name__ == "__main__":
    main()
