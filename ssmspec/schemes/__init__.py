"""Initialization schemes: one law a file. The table below is in order of listing."""

from __future__ import annotations

from ssmspec.registry import Registry
from ssmspec.schemes import dfout, hippo, lin_scaled, lru, s4d, s5
from ssmspec.schemes.base import Draw, Kind, Scheme, Seed
from ssmspec.schemes.options import SchemeOptions

__all__ = ["SCHEMES", "Draw", "Kind", "Scheme", "SchemeOptions", "Seed"]

SCHEMES: Registry[Scheme] = Registry(
    "scheme",
    "ssmspec.schemes",
    (
        dfout.DFOUT,
        dfout.SINGLE,
        dfout.BATCHED,
        dfout.TOKEN,
        dfout.RANDOM,
        s4d.LIN,
        s4d.INV,
        s4d.INV2,
        s4d.QUAD,
        s4d.RAND,
        hippo.LEGS,
        s4d.REAL,
        lru.LRU,
        s5.S5,
        lin_scaled.LIN_SCALED,
    ),
    key=lambda scheme: scheme.id,
)
