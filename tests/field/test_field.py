"""The table of public models against plain counting over the measurements."""

import csv
from fractions import Fraction
from pathlib import Path

import pytest

from ssmspec.families import FAMILIES
from ssmspec.field import ENOUGH, LEVELS, place, table
from ssmspec.metrics import METRICS

MEASURED = Path(__file__).resolve().parents[3] / "shared" / "field" / "field.csv"


def counted_quantile(votes, level):
    """The least value whose share of votes, recipe by recipe, reaches the level; by brute force."""
    for candidate in sorted({value for values in votes.values() for value in values}):
        shares = [
            Fraction(sum(value <= candidate for value in values), len(values))
            for values in votes.values()
        ]
        if sum(shares) / len(shares) >= Fraction(str(level)):
            return candidate
    raise AssertionError


def test_every_number_is_that_of_counting():
    if not MEASURED.exists():
        pytest.skip("the measurements are not beside this checkout (../shared/field)")
    rows = list(csv.DictReader(MEASURED.read_text(encoding="utf-8").splitlines()))
    for (family, metric), sample in table().items():
        votes, models = {}, set()
        for row in rows:
            if row["family"] == family and row[metric] != "":
                votes.setdefault(row["recipe"], []).append(float(row[metric]))
                models.add((row["repo"], row["commit"], row["path"]))
        values = [value for recipe in votes.values() for value in recipe]
        assert (sample.recipes, sample.models, sample.layers) == (
            len(votes), len(models), len(values),
        ), (family, metric)  # fmt: skip
        assert (sample.least, sample.most) == (min(values), max(values))
        expected = [counted_quantile(votes, q) for q in LEVELS] if len(votes) >= ENOUGH else []
        assert list(sample.quantiles) == expected, (family, metric)
    assert {row["family"] for row in rows} == {family for family, _ in table()}


def test_it_holds_known_families_and_metrics_and_none_that_needs_a_length():
    assert {family for family, _ in table()} <= set(FAMILIES)
    for metric in {metric for _, metric in table()}:
        assert not {"sequence length", "row stride", "a change of rate"} & {
            need.label for need in METRICS[metric].needs
        }
    assert not {"aliased_energy", "energy_horizon"} & {metric for _, metric in table()}
    for left_out in (
        "coverage",
        "largest_gap",
        "init_drift",
        "hinf_max",
        "redundant_mode_fraction",
    ):
        assert place("s4d", left_out, 0.5) is None


def test_a_value_has_its_place():
    low, _, middle, _, high = table()["s4d", "entanglement"].quantiles
    assert place("s4d", "entanglement", low).inside
    assert place("s4d", "entanglement", high).inside
    inner = place("s4d", "entanglement", (middle + high) / 2)
    assert inner.inside
    assert inner.above >= 0.5
    assert place("s4d", "entanglement", 1.0).above == 1.0
    assert not place("s4d", "entanglement", 1.0).inside
    assert place("s4d", "entanglement", 0.1).below == 1.0
    below = place("s4d", "entanglement", low - 1e-3)
    assert (below.below, below.inside) == (0.95, False)


def test_few_recipes_have_a_range_and_no_place():
    one = place("lru", "spectral_flatness", 0.5)
    assert one.sample.recipes < ENOUGH
    assert (one.inside, one.above, one.below) == (False, 0.0, 0.0)
    assert one.sample.least < one.sample.most
    assert place("s5", "spectral_flatness", 0.5) is None
