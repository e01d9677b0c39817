"""Comparisons: a model with another, or with the layers that a scheme would have given it."""

from __future__ import annotations

from ssmspec.comparison.checkpoints import compare
from ssmspec.comparison.scheme import against

__all__ = ["against", "compare"]
