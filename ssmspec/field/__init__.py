"""What public trained models measure, and how a value lies among those of its family.

`table.csv` is made by `docs/field_table.py`; docs/field.md says how thin the sample is.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ENOUGH = 5
"""Recipes from which on anything is said of a family but its range."""
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
TABLE = Path(__file__).with_name("table.csv")


@dataclass(frozen=True)
class Sample:
    """One metric of the layers of one family's public trained models, in the metric's unit.

    Attributes:
        recipes: how many ways of training it holds; each has one vote, shared by its layers.
        models: how many models.
        layers: how many layers.
        least: the smallest value of any layer.
        most: the largest.
        quantiles: the value of a layer at each of `LEVELS`; empty under `ENOUGH` recipes.
    """

    recipes: int
    models: int
    layers: int
    least: float
    most: float
    quantiles: tuple[float, ...] = ()


@dataclass(frozen=True)
class Place:
    """A value among those of its family.

    Attributes:
        sample: what it is compared with.
        above: the share of the sample that it is known to be above: one of `LEVELS`, 1 above all,
            0 where nothing is known (always under `ENOUGH` recipes).
        below: likewise the share that it is below.
    """

    sample: Sample
    above: float = 0.0
    below: float = 0.0

    @property
    def inside(self) -> bool:
        """Whether it lies from 5 % to 95 % of a sample of enough recipes."""
        return bool(self.sample.quantiles) and max(self.above, self.below) < LEVELS[-1]


def place(family: str, metric: str, value: float) -> Place | None:
    """Where a layer's value lies among the public models of its family.

    Args:
        family: a family's id.
        metric: a metric's id.
        value: what was measured, in the metric's own unit (samples, not seconds).

    Returns:
        None where the sample has no such family or metric: every metric that depends on the
        sequence length, and those that were defined otherwise when the sample was measured.
    """
    sample = table().get((family, metric))
    if sample is None:
        return None
    if not sample.quantiles:
        return Place(sample)
    marks = [*zip(LEVELS, sample.quantiles, strict=True)]
    above = [level for level, mark in marks if value > mark] + [1.0] * (value > sample.most)
    below = [1 - level for level, mark in marks if value < mark] + [1.0] * (value < sample.least)
    return Place(sample, max(above, default=0.0), max(below, default=0.0))


@cache
def table() -> Mapping[tuple[str, str], Sample]:
    """Every sample by family and metric, read once."""
    with TABLE.open(encoding="utf-8", newline="") as lines:
        _, *rows = csv.reader(lines)
    samples = {}
    for family, metric, recipes, models, layers, least, most, *quantiles in rows:
        samples[family, metric] = Sample(
            *(int(recipes), int(models), int(layers)),
            *(float(least), float(most)),
            tuple(float(mark) for mark in quantiles if mark),
        )
    return samples
