"""Reading saved JSON reports back: what `analyze`, `check` or `track` wrote, as `Report`s.

What a report does not save (profiles of power and time scales, the DFouT reference) is absent. A
saved report is a file like any other: nothing in it is taken on trust.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from ssmspec.errors import CheckpointError
from ssmspec.naming import printable, shown
from ssmspec.outcome import Finding, Level, Measured, NotApplicable, Outcome, Skipped
from ssmspec.results.base import SCHEMA_VERSION, CheckpointSummary
from ssmspec.results.check import Status
from ssmspec.results.report import LayerReport, ModelMetric, Report

MAX_BYTES = 256 * 2**20
"""A report of ten thousand layers has about 100 MB; a larger file is not one (a heuristic)."""

_MARK = b'"schema_version"'

Value = TypeVar("Value")


@dataclass(frozen=True)
class SavedCheck:
    """One checkpoint of an earlier run.

    Attributes:
        path: of the checkpoint, as it was given.
        report: what was measured, or None.
        error: why it could not be judged, or None.
        statuses: where each of the report's findings stood against a baseline; empty in an
            analysis.
    """

    path: str
    report: Report | None
    error: str | None = None
    statuses: tuple[Status | None, ...] = ()


@dataclass(frozen=True)
class SavedRun:
    """What one file holds of earlier measurements.

    Attributes:
        path: the file.
        version: of the program that wrote it.
        preset: id of the rule preset that its findings were judged by; None in an analysis and
            a tracked run, which have no other than the default.
        checks: what was said of each checkpoint.
    """

    path: Path
    version: str
    preset: str | None
    checks: tuple[SavedCheck, ...]

    @property
    def reports(self) -> tuple[tuple[str, Report], ...]:
        """(path of the checkpoint as it was given, what was measured), where anything was."""
        return tuple((each.path, each.report) for each in self.checks if each.report is not None)


def find_report(path: Path) -> Report | None:
    """The report in a file, or None where the file is something else: a checkpoint, most likely.

    Raises:
        CheckpointError: it is a report, but damaged or of another version.
    """
    head = _head(path)
    if not head.lstrip().startswith(b"{") or b"\0" in head:
        return None
    try:
        content = _parse(path)
    except CheckpointError:
        if _MARK in head:
            raise
        return None
    is_report = isinstance(content, dict) and "schema_version" in content
    return _understood(path, content) if is_report else None


def find_run(path: Path) -> SavedRun | None:
    """As `find_report`, of what either `analyze` or `check` wrote."""
    head = _head(path)
    if not head.lstrip().startswith(b"{") or _MARK not in head:
        return None
    return load_run(path)


def load_report(path: Path) -> Report:
    """A saved report.

    Raises:
        CheckpointError: the file cannot be read, or is not a report of a version this program
            reads.
    """
    return _understood(path, _parse(path))


def load_run(path: Path) -> SavedRun:
    """The reports in a file that `analyze`, `check` or `track` wrote as JSON.

    Checkpoints that a check could not measure have no report and are left out.

    Raises:
        CheckpointError: as for `load_report`.
    """
    return _understood_as(_run, path, _parse(path))


def _head(path: Path) -> bytes:
    """The first bytes of a regular file; nothing of what cannot be opened, which others explain."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(4096)
    except OSError:
        return b""


def _parse(path: Path) -> Any:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(f"{shown(path)} is no regular file, so it is no saved report")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise CheckpointError(f"{shown(path)} is too large to be a saved report")
        return json.loads(content, parse_constant=_refuse)
    except OSError as error:
        raise CheckpointError(f"{shown(path)}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise CheckpointError(
            f"{shown(path)} is not a whole JSON report; write it again with --format json"
        ) from None


def _understood(path: Path, content: Any) -> Report:
    return _understood_as(lambda _, report: _report(report), path, content)


def _understood_as(
    read: Callable[[Path, Mapping[str, Any]], Value], path: Path, content: Any
) -> Value:
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        found = f"schema version {version}" if isinstance(version, int) else "no schema version"
        raise CheckpointError(
            f"{shown(path)} has {found[:40]}, and this program reads reports of version "
            f"{SCHEMA_VERSION}; write it again with --format json"
        )
    try:
        return read(path, content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise CheckpointError(
            f"{shown(path)} is JSON, but not the report of an analysis; write one with "
            f"ssmspec analyze --format json"
        ) from None


def _run(path: Path, content: Mapping[str, Any]) -> SavedRun:
    version = _text(content["tool"]["version"])
    if "checkpoints" not in content:
        report = _report(content)
        return SavedRun(path, version, None, (SavedCheck(report.checkpoint.path, report),))
    return SavedRun(
        path=path,
        version=version,
        preset=None if "track" in content else printable(_text(content["check"]["preset"])),
        checks=tuple(_check(entry) for entry in content["checkpoints"]),
    )


def _check(entry: Mapping[str, Any]) -> SavedCheck:
    report = entry.get("report")
    findings = () if report is None else report["findings"]
    return SavedCheck(
        path=_text(entry["path"]),
        report=None if report is None else _report(report),
        error=_optional(_text, entry.get("error")),
        statuses=tuple(_optional(Status, finding.get("status")) for finding in findings),
    )


def _report(content: Mapping[str, Any]) -> Report:
    source = content["checkpoint"]
    return Report(
        checkpoint=CheckpointSummary(
            path=_text(source["path"]),
            container=_text(source["container"]),
            size=_optional(_whole, source["size"]),
            tensors=_whole(source["tensors"]),
            fingerprint=_optional(_text, source.get("fingerprint")),
        ),
        layers=tuple(_layer(entry) for entry in content["layers"]),
        model={
            _text(key): ModelMetric(_outcome(entry), _text(entry["aggregate"]))
            for key, entry in content["model"]["metrics"].items()
        },
        findings=tuple(_finding(entry) for entry in content["findings"]),
        skipped=tuple(
            Skipped(_text(entry["name"]), _text(entry["reason"])) for entry in content["skipped"]
        ),
        assumptions=tuple(_text(sentence) for sentence in content["assumptions"]),
        sequence_length=_optional(_whole, content["sequence_length"]),
        sample_rate=_optional(_number, content["sample_rate"]),
    )


def _layer(entry: Mapping[str, Any]) -> LayerReport:
    family = _text(entry["family"])
    return LayerReport(
        name=_text(entry["name"]),
        family=family,
        family_title=family,
        discretization=_text(entry["discretization"]),
        symmetry=_text(entry["symmetry"]),
        channels=_whole(entry["channels"]),
        modes=_whole(entry["modes"]),
        selective=entry.get("selective") is True,
        metrics={_text(key): _outcome(item) for key, item in entry["metrics"].items()},
    )


def _finding(entry: Mapping[str, Any]) -> Finding:
    return Finding(
        code=_text(entry["code"]),
        level=Level(entry["level"]),
        layer=_text(entry["layer"]),
        message=_text(entry["message"]),
        value=_optional(_number, entry["value"]),
        threshold=_optional(_number, entry["threshold"]),
    )


def _outcome(entry: Mapping[str, Any]) -> Outcome:
    if "not_applicable" in entry:
        return NotApplicable(_text(entry["not_applicable"]))
    value = entry["value"]
    return Measured(
        value if isinstance(value, str) else _number(value), printable(_text(entry["unit"]))
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):  # 1e999 is valid JSON
        raise ValueError
    return number


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError
    return value


def _optional(read: Callable[[Any], Value], value: Any) -> Value | None:
    return None if value is None else read(value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
