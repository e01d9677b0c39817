"""Tables of extension points: families, metrics, rules, schemes, writers.

A table is the built-in records plus whatever third parties publish under the entry-point group of
the same name (`ssmspec.families`, `ssmspec.metrics`, ...). An entry point loads to one record or to
a sequence of records. Two records with one id are an error that names both origins.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from ssmspec.errors import SsmspecError, UsageError
from ssmspec.naming import did_you_mean, printable

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Record = TypeVar("Record")


class Registry(Mapping[str, Record], Generic[Record]):
    """An ordered table of records by id, extended by entry points on first use.

    Args:
        kind: what one record is called in messages, e.g. "family".
        group: the entry-point group third parties publish records under.
        builtin: the package's own records, in the order they are tried and listed.
        key: gives a record's id.
    """

    def __init__(
        self, kind: str, group: str, builtin: Sequence[Record], key: Callable[[Record], str]
    ) -> None:
        self.kind = kind
        self._group = group
        self._builtin = tuple(builtin)
        self._key = key

    @cached_property
    def _records(self) -> dict[str, Record]:
        records: dict[str, Record] = {}
        origins: dict[str, str] = {}
        for origin, record in self._sources():
            identifier = self._identifier(origin, record)
            if identifier in records:
                raise SsmspecError(
                    f"two {self.kind} records share the id {identifier!r}: one from "
                    f"{origins[identifier]}, one from {origin}; rename or uninstall one of them"
                )
            records[identifier] = record
            origins[identifier] = origin
        return records

    def _sources(self) -> Iterator[tuple[str, Record]]:
        for record in self._builtin:
            yield "ssmspec", record
        for point in _published(self._group):
            origin = f"entry point {point.name!r} = {point.value}"
            try:
                loaded = point.load()
            except (Exception, SystemExit) as error:
                raise self._broken(origin, error) from error
            for record in loaded if isinstance(loaded, (list, tuple)) else (loaded,):
                yield origin, record

    def _identifier(self, origin: str, record: Record) -> str:
        try:
            return self._key(record)
        except AttributeError as error:
            raise self._broken(origin, error) from error

    def _broken(self, origin: str, error: BaseException) -> SsmspecError:
        cause = printable(f"{type(error).__name__}: {error}".partition("\n")[0][:200])
        return SsmspecError(
            f"a plugin gives no {self.kind} ({cause}): {printable(origin)}; mend or uninstall it"
        )

    def __getitem__(self, identifier: str) -> Record:
        return self._records[identifier]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def require(self, identifier: str) -> Record:
        """The record with this id.

        Raises:
            UsageError: there is none; the message names the nearest valid id.
        """
        try:
            return self._records[identifier]
        except KeyError:
            raise UsageError(
                f"no {self.kind} is called {identifier!r}; {did_you_mean(identifier, self)}"
            ) from None


def _published(group: str) -> Sequence[EntryPoint]:
    if not _anything_published():
        return ()
    from importlib import metadata  # noqa: PLC0415 - loads the email package; rarely needed

    return tuple(metadata.entry_points(group=group))


@cache
def _anything_published() -> bool:
    """Whether any installed distribution may publish records, from its entry_points.txt alone.

    Asking `importlib.metadata` takes longer than measuring a small model, and nearly always finds
    nothing. Where a folder of the path cannot be listed (a zip file), it is asked all the same.
    """
    for entry in sys.path:
        folder = Path(entry or ".")
        if folder.is_file():
            return True
        for installed in (*folder.glob("*.dist-info"), *folder.glob("*.egg-info")):
            try:
                if b"[ssmspec." in (installed / "entry_points.txt").read_bytes():
                    return True
            except OSError:
                continue  # most distributions publish nothing
    return False
