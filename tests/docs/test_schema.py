import copy
import json
import tomllib
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import ssmspec
from docs.schemas import SCHEMAS, as_text
from ssmspec.metrics import METRICS
from ssmspec.results.base import SCHEMA_VERSION
from ssmspec.writers import WRITERS, Page
from ssmspec.writers.check import CHECK_WRITERS
from tests.examples import check as made
from tests.examples.check import HOSTILE, checked, finding, layer, run, unread
from tests.examples.comparison import s4d

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = sorted((ROOT / "sample_checkpoints").glob("*.safetensors"))


@pytest.fixture(scope="module")
def validators():
    """The schemas as they are published, with every keyword checked against the draft."""
    found = {}
    for name in SCHEMAS:
        schema = json.loads((ROOT / f"docs/schema/{name}.schema.json").read_text("utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        found[name] = jsonschema.Draft202012Validator(schema)
    return found


def loaded(writers, what):
    return json.loads(writers["json"].render(what, Page()), parse_constant=pytest.fail)


@pytest.fixture(scope="module")
def report():
    return loaded(WRITERS, ssmspec.analyze(SAMPLES[0], seq_len=1024))


@pytest.fixture(scope="module")
def check():
    return loaded(CHECK_WRITERS, made.compared())


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_published_is_what_the_tables_give(name):
    published = (ROOT / f"docs/schema/{name}.schema.json").read_text("utf-8")
    assert published == as_text(SCHEMAS[name]())
    assert json.loads(published)["$id"].endswith(f":{SCHEMA_VERSION}")


def test_the_wheel_holds_every_schema():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    inside = {
        f"{there}/{path.name}" for here, there in wheel.items() for path in (ROOT / here).iterdir()
    }
    assert inside == {f"ssmspec/schema/{name}.schema.json" for name in SCHEMAS}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_reports_of_every_sample_are_valid(validators, path):
    for options in ({}, {"seq_len": 1024, "sample_rate": 16000.0, "row_stride": 32, "resample": 2}):
        judged = made.analyzed(path, **options)
        assert judged.files[0].report is not None
        validators["report"].validate(loaded(WRITERS, judged.files[0].report))
        validators["check"].validate(loaded(CHECK_WRITERS, judged))


def test_reports_of_real_checkpoints_are_valid(validators, shared):
    slow = ("attenuate", "s4_")  # their kernel metrics take seconds, and have the same form
    paths = [path for path in sorted(shared.iterdir()) if path.suffix in (".pth", ".pt", ".npz")]
    paths = [path for path in paths if not path.name.startswith(slow)]
    assert paths
    validators["check"].validate(loaded(CHECK_WRITERS, made.analyzed(*paths, seq_len=1024)))


def test_hostile_names_and_broken_numbers_are_valid(validators):
    broken = s4d(HOSTILE, log_dt=np.array([np.nan, 0.0])) | s4d("b.kernel")
    validators["report"].validate(loaded(WRITERS, ssmspec.analyze(broken, seq_len=64)))
    file = checked(HOSTILE, [layer(HOSTILE)], [finding(layer=HOSTILE, value=float("nan"))])
    content = loaded(CHECK_WRITERS, run(file, unread(HOSTILE), hints=(HOSTILE,)))
    validators["check"].validate(content)
    assert content["checkpoints"][0]["report"]["findings"][0]["value"] is None


def test_checks_of_every_outcome_are_valid(validators):
    nothing = made.report([], skipped=["net.0"])
    skipped = checked("skipped.pth")
    skipped = type(skipped)("skipped.pth", nothing, error="nothing could be measured")
    what = run(*made.compared().files, skipped, unread(), baselines=("b.json",), config="x.toml")
    validators["check"].validate(loaded(CHECK_WRITERS, what))


def changed(document, path, value):
    """A copy with one place changed; `...` deletes it."""
    document = copy.deepcopy(document)
    *way, last = path
    place = document
    for key in way:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


LAYER = ("layers", 0)
COVERAGE = (*LAYER, "metrics", "coverage")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), SCHEMA_VERSION + 1),
        (("schema_version",), ...),
        (("tool", "name"), "other"),
        (("verdict",), "good"),
        (("verdict",), None),
        (("surplus",), 1),
        (("sequence_length",), 0),
        (("sequence_length",), 1.5),
        (("assumptions",), "a"),
        (("checkpoint", "fingerprint"), "abc"),
        (("checkpoint", "size"), -1),
        ((*LAYER, "symmetry"), "quarter"),
        ((*LAYER, "discretization"), "euler"),
        ((*LAYER, "modes"), 0),
        ((*LAYER, "name"), ...),
        ((*LAYER, "surplus"), 1),
        ((*COVERAGE, "value"), float("nan")),
        ((*COVERAGE, "value"), float("inf")),
        ((*COVERAGE, "value"), -float("inf")),
        ((*COVERAGE, "value"), None),
        ((*COVERAGE, "value"), True),
        ((*COVERAGE, "unit"), "percent"),
        ((*COVERAGE, "unit"), ...),
        ((*COVERAGE, "not_applicable"), "both"),
        (COVERAGE, {}),
        (COVERAGE, 0.5),
        (("model", "metrics", "coverage", "aggregate"), ...),
        (("model", "metrics", "coverage", "unit"), "percent"),
        (("findings", 0, "level"), "note"),
        (("findings", 0, "threshold"), ...),
        (("findings", 0, "value"), float("nan")),
        (("findings", 0, "status"), "new"),
    ],
)
def test_a_wrong_report_is_refused(validators, report, path, value):
    assert validators["report"].is_valid(report)
    assert not validators["report"].is_valid(changed(report, path, value))


FILE = ("checkpoints", 0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("check", "fail_on"), "note"),
        (("check", "exit_code"), 3),
        (("check",), ...),
        ((*FILE, "error"), "an error and exit code 1"),
        ((*FILE, "report"), ...),
        ((*FILE, "exit_code"), 2),
        ((*FILE, "fixed"), ...),
        ((*FILE, "fixed", 0, "status"), "fixed"),
        ((*FILE, "report", "findings", 0, "status"), "old"),
        ((*FILE, "report", "verdict"), "good"),
        ((*FILE, "surplus"), 1),
    ],
)
def test_a_wrong_check_is_refused(validators, check, path, value):
    assert validators["check"].is_valid(check)
    assert not validators["check"].is_valid(changed(check, path, value))


def test_metrics_of_third_parties_are_allowed_and_their_shape_is_not_free(validators, report):
    added = (*LAYER, "metrics", "someone_elses")
    assert "someone_elses" not in METRICS
    assert validators["report"].is_valid(changed(report, added, {"value": 1.0, "unit": "furlong"}))
    assert validators["report"].is_valid(changed(report, added, {"not_applicable": "no"}))
    assert not validators["report"].is_valid(changed(report, added, {"value": 1.0}))


@pytest.mark.parametrize("number", [0, -0.0, 5e-324, -5e-324, 1.7976931348623157e308, -1, 10**300])
def test_every_finite_number_is_allowed(validators, report, number):
    assert validators["report"].is_valid(changed(report, (*COVERAGE, "value"), number))
