"""When a figure would be empty: one sentence that says why, and what could be drawn instead."""

from __future__ import annotations

from collections.abc import Sequence

from ssmspec.errors import NoLayersError


def require_some(drawn: Sequence[object], kind: str, reason: str) -> None:
    """Refuse a figure on which every cell would be a sentence.

    Raises:
        NoLayersError: nothing can be drawn.
    """
    if not drawn:
        raise NoLayersError(
            f"no layer can be drawn as {kind}: {reason} (ssmspec list plots shows other kinds)"
        )
