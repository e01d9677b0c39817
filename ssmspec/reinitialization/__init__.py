"""Re-initialization: the poles of a scheme, written into a checkpoint that has other ones."""

from __future__ import annotations

from ssmspec.reinitialization.run import reinit

__all__ = ["reinit"]
