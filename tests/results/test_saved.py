import json
import os

import pytest

import ssmspec
from ssmspec.errors import CheckpointError
from ssmspec.results.saved import find_report, load_report
from tests.examples.comparison import s4d


@pytest.fixture
def report():
    return ssmspec.analyze(s4d(dt=0.5) | s4d("layers.1.kernel"), seq_len=64, sample_rate=10.0)


def written(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_what_is_saved_is_read_back_unchanged(tmp_path, report):
    saved = report.to_dict()
    again = load_report(written(tmp_path, saved))
    assert again.to_dict() == saved
    assert again.layers[0].metrics == report.layers[0].metrics
    assert again.verdict == report.verdict
    assert saved["findings"]


def test_a_report_is_recognized_whatever_the_order_of_its_keys(tmp_path, report):
    saved = report.to_dict() | {"assumptions": ["x" * 10_000]}
    path = written(tmp_path, json.dumps(saved, sort_keys=True))
    assert b'"schema_version"' not in path.read_bytes()[:4096]
    assert find_report(path).to_dict() == saved


@pytest.mark.parametrize(
    "content",
    ['{"weight_map": {"a": "b"}}', "{}", "[1, 2]", "{broken", "version https://git-lfs", ""],
)
def test_other_files_are_not_reports(tmp_path, content):
    assert find_report(written(tmp_path, content)) is None


def test_what_cannot_be_opened_is_left_to_whoever_opens_checkpoints(tmp_path):
    assert find_report(tmp_path) is None
    assert find_report(tmp_path / "absent") is None
    binary = tmp_path / "binary"
    binary.write_bytes(b'{\x00\x00\x00\x00\x00\x00\x00{"schema_version": 1}')
    assert find_report(binary) is None
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert find_report(fifo) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"schema_version": 1, "layers": [', "not a whole JSON report"),
        ('{"schema_version": 99}', "schema version 99"),
        ('{"schema_version": "1"}', "no schema version"),
        ('{"schema_version": 1}', "not the report of an analysis"),
        ('{"schema_version": 1, "layers": ' + "[" * 100_000, "not a whole JSON report"),
        ('{"schema_version": 1, "sample_rate": NaN}', "not a whole JSON report"),
    ],
)
def test_a_damaged_report_is_refused_in_one_sentence(tmp_path, content, says):
    with pytest.raises(CheckpointError, match=says) as caught:
        find_report(written(tmp_path, content))
    assert "\n" not in str(caught.value)


def _with(report, change):
    saved = json.loads(json.dumps(report.to_dict()))
    change(saved)
    return json.dumps(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["layers"][0].update(channels=-1),
        lambda r: r["layers"][0].update(channels=True),
        lambda r: r["layers"][0].update(name=3),
        lambda r: r["layers"][0]["metrics"].update(coverage={"value": None, "unit": "1"}),
        lambda r: r["layers"][0]["metrics"].update(coverage={"value": True, "unit": "1"}),
        lambda r: r["layers"][0]["metrics"].update(coverage=1.0),
        lambda r: r["findings"][0].update(level="catastrophe"),
        lambda r: r["model"].pop("metrics"),
        lambda r: r.update(layers={"a": 1}),
        lambda r: r.update(sequence_length=1.5),
        lambda r: r["checkpoint"].update(size=-5),
    ],
)
def test_a_report_of_the_wrong_shape_is_refused(tmp_path, report, change):
    with pytest.raises(CheckpointError, match="not the report of an analysis"):
        load_report(written(tmp_path, _with(report, change)))


def test_a_number_beyond_floats_is_refused(tmp_path, report):
    content = _with(report, lambda r: r.update(sample_rate=123456.5)).replace("123456.5", "1e999")
    with pytest.raises(CheckpointError, match="not the report of an analysis"):
        load_report(written(tmp_path, content))
    content = content.replace("1e999", "1" + "0" * 400)
    with pytest.raises(CheckpointError, match="not the report of an analysis"):
        load_report(written(tmp_path, content))
