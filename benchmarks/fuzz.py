"""Opens mutated checkpoints of every container and counts what is neither read nor refused.

    python benchmarks/fuzz.py --count 100000 --seed 0

Each input is a small valid file whose bytes, header or opcodes were changed. It is opened, every
tensor is read, and one in `WHOLE` is analyzed and written as CSV and text. Right is a report or an
`SsmspecError` of one sentence. While an input is read, an audit hook forbids opening anything
outside its folder, writing, executing, importing and connecting.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mutations import CONTAINERS, METADATA, NOTE, Mutate, distributed_files, tensors
from safetensors.numpy import save

from ssmspec.analysis.report import analyze
from ssmspec.checkpoints import open_checkpoint
from ssmspec.errors import SsmspecError
from ssmspec.writers import WRITERS, Page

WHOLE = 8
"""One input in so many is measured and written, not only opened."""
SLOW = 2.0
"""Processor seconds after which an input counts as too slow."""

_FORBIDDEN = (
    "exec", "import", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork",
    "os.spawn", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink",
    "os.chmod", "os.chown", "os.truncate", "shutil.", "socket.", "ctypes.", "pickle.find_class",
    "marshal.", "code.__new__", "urllib.", "tempfile.", "mmap.",
)  # fmt: skip


class ForbiddenError(BaseException):
    """A file made the program do what no file may."""


@dataclass
class Guard:
    """What an audit hook lets through while it is armed."""

    folder: str = ""
    armed: bool = False
    installed: bool = False

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """Called by the interpreter for everything that it audits."""
        if not self.armed:
            return
        if event == "open":
            path, mode, flags = args
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & 3
            if writes or (isinstance(path, str) and not path.startswith(self.folder)):
                raise ForbiddenError(f"open {path!r} {mode!r}")
        elif event.startswith(_FORBIDDEN):
            raise ForbiddenError(f"{event} {args!r}"[:200])

    @contextmanager
    def on(self) -> Iterator[None]:
        """Be armed within the block."""
        self.armed = True
        try:
            yield
        finally:
            self.armed = False


@dataclass
class Tally:
    """What came of the inputs.

    Attributes:
        outcomes: how many were read, refused, or fell, by container.
        slowest: processor seconds of the slowest, by container.
        falls: (container, number, what happened) of those that fell.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    falls: list[tuple[str, int, str]] = field(default_factory=list)

    def add(self, container: str, number: int, outcome: str, seconds: float) -> None:
        """Count one input."""
        kind = outcome if outcome in ("read", "refused") else "fell"
        self.outcomes[container, kind] += 1
        self.slowest[container] = max(self.slowest.get(container, 0.0), seconds)
        if kind == "fell":
            self.falls.append((container, number, outcome))


def outcome_of(path: Path, *, whole: bool) -> str:
    """`read`, `refused`, or what escaped."""
    try:
        with open_checkpoint(path) as checkpoint:
            for name in list(checkpoint.tensors)[:50]:
                try:
                    checkpoint.read(name)
                except SsmspecError as error:
                    _require_sentence(error)
        if whole:
            report = analyze(path)
            for form in ("csv", "text", "json"):
                WRITERS.require(form).render(report, Page())
    except SsmspecError as error:
        _require_sentence(error)
        return "refused"
    except ForbiddenError as error:
        return f"forbidden: {error}"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"[:300]
    return "read"


def _require_sentence(error: SsmspecError) -> None:
    said = str(error)
    if not said or len(said) > 4100 or not said.isprintable():
        raise AssertionError(f"no sentence: {said[:100]!r}")


def fuzz(count: int, seed: int, guard: Guard, only: tuple[str, ...] = ()) -> Tally:
    """So many inputs, in turn of every container.

    Args:
        count: inputs of all containers together.
        seed: input number i follows from (seed, i).
        guard: installed as audit hook by whoever calls.
        only: containers; all of them where it is empty.
    """
    tally = Tally()
    chosen = list(only or CONTAINERS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        guard.folder = name
        (folder / "shard").write_bytes(save(dict(tensors())))
        if "torch-distributed" in chosen:
            (folder / "dcp").mkdir()
            for file, content in distributed_files()[1].items():
                (folder / "dcp" / file).write_bytes(content)
        if guard.installed:
            sound = folder / "sound"
            sound.write_bytes(save(dict(tensors()), metadata=NOTE))
            outcome_of(sound, whole=True)
            for container in chosen:  # whatever is loaded late is loaded now
                _warm_up(folder, *CONTAINERS[container])
        for number in range(count):
            container = chosen[number % len(chosen)]
            file, mutate = CONTAINERS[container]
            path = folder / file
            path.write_bytes(mutate(random.Random(f"{seed} {number}")))
            began = time.process_time()
            with guard.on(), warnings.catch_warnings():
                warnings.simplefilter("error")
                outcome = outcome_of(_opened(path), whole=number // len(chosen) % WHOLE == 0)
            seconds = time.process_time() - began
            if seconds > SLOW:
                outcome = f"slow: {seconds:.1f} s"
            tally.add(container, number, outcome, seconds)
    return tally


def _warm_up(folder: Path, file: str, mutate: Mutate) -> None:
    import difflib  # noqa: F401 - for mistakes only

    import numpy.random  # noqa: F401 - numpy loads it when it is first asked for

    "\x1b".encode("unicode_escape")  # a codec that Python loads when it is first asked for
    for number in range(60):
        (folder / file).write_bytes(mutate(random.Random(f"warm {number}")))
        outcome_of(_opened(folder / file), whole=True)


def _opened(path: Path) -> Path:
    """What is opened to read a file: itself, or its folder."""
    return path.parent if path.name == METADATA else path


def main() -> None:
    """Fuzz and print the tally; exit 1 where anything fell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=list(CONTAINERS), default=[])
    options = parser.parse_args()
    guard = Guard()
    sys.addaudithook(guard)
    guard.installed = True
    tally = fuzz(options.count, options.seed, guard, tuple(options.only))
    for container in options.only or CONTAINERS:
        numbers = {kind: tally.outcomes[container, kind] for kind in ("read", "refused", "fell")}
        told = ", ".join(f"{number:,} {kind}" for kind, number in numbers.items())
        print(f"{container:14} {told}; slowest {tally.slowest[container]:.2f} s")
    for container, number, what in tally.falls[:50]:
        print(f"fell: {container} {options.seed} {number}: {what}")
    sys.exit(bool(tally.falls))


if __name__ == "__main__":
    main()
