"""Make the package's table of public models from the measurements of them.

`python docs/field_table.py FOLDER` reads `FOLDER/field.csv`, one row a layer, and writes
`ssmspec/field/table.csv`; `python docs/generate.py` then fills docs/field.md.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from ssmspec.field import ENOUGH, LEVELS, TABLE
from ssmspec.metrics import METRICS

DEPEND_ON_L = {
    "undamped_fraction", "memory_ratio", "timescale_coverage", "local_channel_fraction",
    "global_channel_fraction", "aliased_energy", "energy_horizon", "locality", "stride_energy",
    "stride_energy_chance", "resampling_risk",
}  # fmt: skip
"""They compare within one sequence length only (or one stride, or one change of rate)."""
MEASURED_OTHERWISE = {
    "coverage", "alias_free_coverage", "channel_coverage", "largest_gap", "init_drift",
    "hinf_max", "redundant_mode_fraction",
}  # fmt: skip
"""Defined or computed otherwise when the models were measured."""
NAMES = {"init_scheme"}

Row = dict[str, str]


def quantile(rows: Iterable[tuple[float, str]], level: float) -> float:
    """The smallest value at or below which a share `level` of the votes lies.

    Args:
        rows: (value, recipe), one a layer; the layers of a recipe share one vote.
        level: in (0, 1].
    """
    ordered = sorted(rows)
    layers = Counter(recipe for _, recipe in ordered)
    needed = Fraction(str(level)) * len(layers)
    votes = Fraction(0)
    for value, recipe in ordered:
        votes += Fraction(1, layers[recipe])
        if votes >= needed:
            return value
    raise ValueError("no rows")


def line(rows: list[Row], metric: str) -> list[object]:
    """Counts, range and quantiles of one metric of one family."""
    known = [row for row in rows if row[metric]]
    values = [(float(row[metric]), row["recipe"]) for row in known]
    recipes = len({recipe for _, recipe in values})
    models = len({(row["repo"], row["commit"], row["path"]) for row in known})
    levels = LEVELS if recipes >= ENOUGH else ()
    return [
        recipes, models, len(known), min(values)[0], max(values)[0],
        *([quantile(values, level) for level in levels] or [""] * len(LEVELS)),
    ]  # fmt: skip


def main(folder: Path) -> None:
    """Write the table."""
    families: dict[str, list[Row]] = defaultdict(list)
    with (folder / "field.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            families[row["family"]].append(row)
    wanted = [name for name in METRICS if name not in DEPEND_ON_L | MEASURED_OTHERWISE | NAMES]
    with TABLE.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        counts = ("recipes", "models", "layers", "least", "most")
        levels = (f"p{round(100 * level):02d}" for level in LEVELS)
        writer.writerow(["family", "metric", *counts, *levels])
        for family, rows in sorted(families.items()):
            for metric in wanted:
                if any(row.get(metric) for row in rows):
                    writer.writerow([family, metric, *line(rows, metric)])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
