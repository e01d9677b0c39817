"""What a monitor remembers, as plain values.

They fit torch.save, which loads them with `weights_only=True`, and JSON, in which transformers
keeps a trainer's state. Arrays become base64 text of their little-endian numbers, compressed:
exact in both.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ssmspec.arrays import Array
from ssmspec.errors import UsageError
from ssmspec.live.look import Event, LayerLook, Look, Paths, Seen, Start, columns
from ssmspec.naming import printable
from ssmspec.outcome import Finding, Level

VERSION = 1


def pack(seen: Seen) -> dict[str, Any]:
    """A state of lists, dicts, strings and numbers."""
    return {
        "version": VERSION,
        "columns": list(columns()),
        "looks": [
            {
                "step": look.step,
                "layers": [
                    {
                        "name": layer.name,
                        "values": list(layer.values),
                        "codes": list(layer.codes),
                        "paths": None
                        if layer.paths is None
                        else [_packed(layer.paths.decay), _packed(layer.paths.omega)],
                    }
                    for layer in look.layers
                ],
            }
            for look in seen.looks
        ],
        "start": {
            name: [_packed(start.decay), _packed(start.omega)] for name, start in seen.start.items()
        },
        "events": [
            {"step": event.step, "since": event.since, "finding": event.finding.to_dict()}
            for event in seen.events
        ],
        "findings": [finding.to_dict() for finding in seen.findings],
    }


def unpack(state: Mapping[str, Any], shapes: Mapping[str, tuple[int, int]]) -> Seen:
    """What `pack` packed.

    Args:
        state: from `pack`, perhaps of a version with other metrics, whose values are then missing.
        shapes: (H, M) of the layers that are watched, by name.

    Raises:
        UsageError: it is no such state, or one of other layers.
    """
    try:
        if state["version"] != VERSION:
            raise UsageError(
                f"the monitor's state is of version {state['version']}, and this program knows "
                f"{VERSION}; go on with the version of ssmspec that saved it"
            )
        index = {name: i for i, name in enumerate(state["columns"])}
        order = [index.get(name) for name in columns()]
        seen = Seen(
            looks=tuple(_look(look, order) for look in state["looks"]),
            start={
                str(name): Start(*(_unpacked(part) for part in parts))
                for name, parts in state["start"].items()
            },
            events=tuple(
                Event(event["step"], event["since"], _finding(event["finding"]))
                for event in state["events"]
            ),
            findings=tuple(_finding(finding) for finding in state["findings"]),
        )
        there = {name: start.decay.shape for name, start in seen.start.items()}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, zlib.error):
        raise UsageError(
            "this is no state of a spectrum monitor; give what its state_dict() returned"
        ) from None
    if seen.looks and there != dict(shapes):
        strange = sorted(set(there.items()) ^ set(shapes.items()))
        raise UsageError(
            f"the monitor's state is of another model: {printable(str(strange[0][0]))} is not the "
            f"same there and here; go on with the model it was saved with"
        )
    return seen


def _look(look: Mapping[str, Any], order: Sequence[int | None]) -> Look:
    return Look(
        int(look["step"]),
        tuple(
            LayerLook(
                layer["name"],
                tuple(None if i is None else layer["values"][i] for i in order),
                tuple(layer["codes"]),
                None
                if layer["paths"] is None
                else Paths(*(_unpacked(part) for part in layer["paths"])),
            )
            for layer in look["layers"]
        ),
    )


def _finding(packed: Mapping[str, Any]) -> Finding:
    return Finding(
        code=packed["code"],
        level=Level(packed["level"]),
        layer=packed["layer"],
        message=packed["message"],
        value=packed["value"],
        threshold=packed["threshold"],
    )


def _packed(array: Array) -> dict[str, Any]:
    stored = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {
        "dtype": stored.dtype.str,
        "shape": list(stored.shape),
        "base64": base64.b64encode(zlib.compress(stored.tobytes())).decode("ascii"),
    }


def _unpacked(packed: Mapping[str, Any]) -> Array:
    if packed["dtype"] not in ("<f4", "<f8"):
        raise ValueError("not an array of this module's")
    stored = zlib.decompress(base64.b64decode(packed["base64"], validate=True))
    flat = np.frombuffer(stored, packed["dtype"])
    return flat.reshape(packed["shape"]).astype(flat.dtype.newbyteorder("="))
