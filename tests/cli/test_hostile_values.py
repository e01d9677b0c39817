"""Huge, tiny, missing and misshapen values of all families through all commands and formats."""

import numpy as np
import pytest

hostile = pytest.importorskip("benchmarks.hostile_values")


def test_a_sample_of_hostile_values_gets_a_verdict_or_a_sentence():
    tally = hostile.attack(18, 0)
    assert [f"{case}: {wrong}" for case, wrong in tally.falls] == []
    assert {code for _, code in tally.outcomes} >= {0, 2}


def test_the_bench_can_find_a_fault(tmp_path, monkeypatch):
    case = hostile.Case("s4d", "s4_layers.0.kernel.log_dt", "all 0", ("analyze", "MODEL"))
    assert hostile.outcome_of(case, tmp_path) == (0, "")

    def warns(arguments):
        np.divide(np.ones(1), 0.0)
        return 0

    monkeypatch.setattr(hostile, "run", warns)
    assert "RuntimeWarning: divide by zero" in hostile.outcome_of(case, tmp_path)[1]
    for code, out, said, is_json in ((3, "", "", False), (2, "", "", False), (0, "NaN", "", True)):
        assert hostile._wrong(code, out, said, [], is_json)
