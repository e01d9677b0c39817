"""What a trained checkpoint says of its own sequence length and rate."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from ssmspec import against, analyze, compare, read_spectra, reinit, sweep
from ssmspec.analysis.model import layer_views, open_model
from ssmspec.reading import NOTE, Reading, taken_over
from ssmspec.writers import WRITERS, Page

LAYER = {
    "ssm.log_dt": np.log(np.full(2, 0.01, np.float32)),
    "ssm.log_A_real": np.log(np.full((2, 3), 0.5, np.float32)),
    "ssm.A_imag": np.pi * np.tile(np.arange(3, dtype=np.float32), (2, 1)),
    "ssm.C": np.ones((2, 3, 2), np.float32),
}


def written(path, note):
    text = note if isinstance(note, str) else json.dumps(note)
    save_file(LAYER, path, metadata={NOTE: text})
    return path


def test_a_note_fills_in_what_was_not_given(tmp_path):
    note = {"seq_len": 64, "sample_rate": 8000, "row_stride": 8, "more": [1]}
    path = written(tmp_path / "model.safetensors", note)
    with open_model(path) as model:
        assert model.reading == Reading(seq_len=64, sample_rate=8000.0, row_stride=8)
    given = Reading(seq_len=100, row_stride=10)
    with open_model(path, given) as model:
        used = model.reading
    assert used == Reading(seq_len=100, sample_rate=8000.0, row_stride=10)
    assert taken_over(given, used) == (
        "the sample rate in hertz, 8000, is what the file says of its training "
        "(--sample-rate changes it)",
    )


@pytest.mark.parametrize(
    "note",
    [
        "not JSON",
        "[1]",
        "null",
        "[" * 100_000,
        {"seq_len": -4},
        {"seq_len": "64"},
        {"seq_len": True},
        {"seq_len": 6.5},
        {"sample_rate": float("nan")},
        {"row_stride": 2},
        {},
    ],
)
def test_a_note_that_makes_no_sense_is_passed_over(tmp_path, note):
    path = written(tmp_path / "model.safetensors", note)
    with open_model(path) as model:
        assert model.reading == Reading()
    assert len(read_spectra(path)) == 1


def test_everything_that_opens_a_checkpoint_heeds_it(tmp_path):
    path = written(tmp_path / "model.safetensors", {"seq_len": 64})
    plain = tmp_path / "plain.safetensors"
    save_file(LAYER, plain)
    report = analyze(path)
    assert report.sequence_length == 64
    assert report.layers[0].metrics == analyze(plain, seq_len=64).layers[0].metrics
    assert analyze(plain).sequence_length is None
    assert sweep(path, "dt").sequence_length == 64
    assert against(path, "dfout").sequence_length == 64
    assert compare(path, path).sequence_length == 64
    assert reinit(path, "dfout", c="fit", dry_run=True).sequence_length == 64
    views = [view.sequence_length for view in layer_views(path)]
    assert views == [64]
    for result in (
        analyze(path),
        sweep(path, "dt"),
        against(path, "dfout"),
        reinit(path, "dfout", dry_run=True),
    ):
        assert any("64, is what the file says" in text for text in result.assumptions)
        assert result.checkpoint.fingerprint == report.checkpoint.fingerprint
    assert compare(path, plain).sequence_length is None
    assert compare(plain, plain, seq_len=32).sequence_length == 32


def test_the_head_of_a_report_says_where_the_length_is_from(tmp_path):
    path = written(tmp_path / "m.safetensors", {"seq_len": 64})
    assert "L = 64 (from the file)" in WRITERS["text"].render(analyze(path), Page())
    assert "L = 32 (given)" in WRITERS["text"].render(analyze(path, seq_len=32), Page())
