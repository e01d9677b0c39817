import copy
import json

import pytest

import ssmspec
from ssmspec.analysis.face import load_report
from ssmspec.errors import UsageError
from ssmspec.writers import WRITERS, Page
from tests.examples.comparison import s4d


@pytest.fixture(scope="module")
def report():
    return ssmspec.analyze(s4d("net", channels=4, dt=1.0), seq_len=64)


def test_printed_it_is_the_terminal_report(report):
    assert f"{report}\n" == WRITERS["text"].render(report, Page())
    assert str(report).startswith("WARN  never trained")
    assert "\x1b" not in str(report)


def test_every_suffix_is_its_format(report, tmp_path):
    for suffix, form in {"html": "html", "json": "json", "md": "markdown", "csv": "csv",
                         "txt": "text"}.items():  # fmt: skip
        path = tmp_path / f"report.{suffix.upper()}"
        path.write_text("an older one")
        report.save(path)
        assert path.read_text("utf-8") == WRITERS[form].render(report, Page())
    assert load_report(tmp_path / "report.JSON").to_dict() == report.to_dict()
    assert json.loads(report.to_json()) == json.loads(json.dumps(report.to_dict()))
    assert report.to_markdown() == WRITERS["markdown"].render(report, Page())
    assert len(report.to_markdown(verbose=True)) > len(report.to_markdown())
    assert copy.deepcopy(report) == report


def test_another_suffix_is_refused_and_the_nearest_named(report, tmp_path):
    with pytest.raises(UsageError, match=r"did you mean '.html'"):
        report.save(tmp_path / "x.htm")
    with pytest.raises(UsageError, match="choose from"):
        report.save(tmp_path / "x")
    assert not list(tmp_path.iterdir())
