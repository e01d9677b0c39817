"""JSON Schemas (draft 2020-12) of what `--format json` writes, made from the program's own tables.

Objects are closed: a key that is not described is an error. Metric ids and rule codes are open,
because third parties add to those tables; the ids that ssmspec has itself are listed with units.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeAlias

from ssmspec.families import FAMILIES
from ssmspec.metrics import METRICS
from ssmspec.metrics.base import Metric
from ssmspec.outcome import Direction, Level, Verdict
from ssmspec.reading import Discretization
from ssmspec.results.base import SCHEMA_VERSION
from ssmspec.results.check import COULD_NOT_JUDGE, GATE_FAILED, PASSED, WHOLE_MODEL, Status
from ssmspec.rules import RULES
from ssmspec.spectrum import Symmetry
from ssmspec.units import CYCLES_PER_SAMPLE, HERTZ

Schema: TypeAlias = dict[str, Any]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_POSITIVE: Schema = {"type": "integer", "minimum": 1}
_HEALTHIER = {
    Direction.HIGHER: "higher is healthier",
    Direction.LOWER: "lower is healthier",
    Direction.NEITHER: "neither direction is healthier",
}


def report_schema() -> Schema:
    """Of `ssmspec analyze --format json`."""
    return {
        **_head("report", "A report of `ssmspec analyze`"),
        **_object(_report_properties(_choice(Verdict), _ref("finding"))),
        "$defs": _definitions(),
    }


def check_schema() -> Schema:
    """Of `ssmspec check --format json` and of the baselines it writes."""
    codes = {"enum": [PASSED, GATE_FAILED, COULD_NOT_JUDGE]}
    judged = _object(
        _report_properties(_nullable(_choice(Verdict)), _ref("judged_finding")),
        "The analysis, with findings as they were selected and compared with the baseline.",
    )
    checkpoint = _object(
        {
            "path": {**_TEXT, "description": "As it was given."},
            "exit_code": codes,
            "error": {**_TEXT, "description": "Why it could not be judged."},
            "report": judged,
            "fixed": {
                **_list(_ref("finding")),
                "description": "Findings of the baseline that are gone.",
            },
        },
        optional=("error", "report"),
    )
    checkpoint |= {
        "if": {"required": ["error"]},
        "then": {"properties": {"exit_code": {"const": COULD_NOT_JUDGE}}},
        "else": {
            "properties": {"exit_code": {"enum": [PASSED, GATE_FAILED]}},
            "required": ["report"],
        },
    }
    settings = _object(
        {
            "preset": _TEXT,
            "fail_on": _choice(Level),
            "select": _TEXTS,
            "ignore": _TEXTS,
            "baselines": _TEXTS,
            "config": _nullable(_TEXT),
            "exit_code": codes,
            "hints": _TEXTS,
        }
    )
    return {
        **_head("check", "A report of `ssmspec check`"),
        **_object({**_tool(), "check": settings, "checkpoints": _list(checkpoint)}),
        "$defs": _definitions(),
    }


SCHEMAS: Mapping[str, Callable[[], Schema]] = {"report": report_schema, "check": check_schema}
"""Name -> maker; published as `docs/schema/<name>.schema.json`."""


def as_text(schema: Schema) -> str:
    """The schema as it is published."""
    return json.dumps(schema, indent=2, ensure_ascii=True) + "\n"


def _head(name: str, title: str) -> Schema:
    return {
        "$schema": _DRAFT,
        "$id": f"urn:ssmspec:schema:{name}:{SCHEMA_VERSION}",
        "title": title,
    }


def _tool() -> Schema:
    return {
        "schema_version": {"const": SCHEMA_VERSION},
        "tool": _object({"name": {"const": "ssmspec"}, "version": _TEXT}),
    }


def _report_properties(verdict: Schema, finding: Schema) -> Schema:
    return {
        **_tool(),
        "checkpoint": _ref("checkpoint"),
        "assumptions": {
            **_TEXTS,
            "description": "What the file does not say and was taken for granted.",
        },
        "sequence_length": _nullable({**_POSITIVE, "description": "L in samples."}),
        "sample_rate": _nullable({**_ref("finite"), "description": "In hertz."}),
        "layers": _list(_ref("layer")),
        "model": _object(
            {"metrics": {"$ref": "#/$defs/units", "additionalProperties": _ref("model_metric")}}
        ),
        "findings": {**_list(finding), "description": "Worst first."},
        "skipped": {
            **_list(_ref("skipped")),
            "description": "What looked like a state-space layer and was not measured.",
        },
        "verdict": verdict,
    }


def _definitions() -> Schema:
    measured = {
        "value": {"anyOf": [_ref("finite"), _TEXT]},
        "unit": {**_TEXT, "description": "1 for a plain number."},
    }
    missing = {"not_applicable": {**_TEXT, "description": "The reason."}}
    aggregate = {"aggregate": {**_TEXT, "description": "How layers were brought together."}}
    finding = {
        "code": {**_TEXT, "description": f"The rule: {', '.join(RULES)}, or a third party's."},
        "level": _choice(Level),
        "layer": {**_TEXT, "description": f"A layer's name, or {WHOLE_MODEL}."},
        "message": _TEXT,
        "value": _nullable(_ref("finite")),
        "threshold": _nullable(_ref("finite")),
    }
    return {
        "finite": _finite(),
        "outcome": {"oneOf": [_object(measured), _object(missing)]},
        "model_metric": {"oneOf": [_object(measured | aggregate), _object(missing | aggregate)]},
        "units": {
            "type": "object",
            "properties": {metric.id: _unit(metric) for metric in METRICS.values()},
        },
        "layer": _object(
            {
                "name": {**_TEXT, "description": "Path of the module that holds the poles."},
                "family": {
                    **_TEXT,
                    "description": f"{', '.join(FAMILIES)}, or a third party's.",
                },
                "discretization": _choice(Discretization),
                "symmetry": _choice(Symmetry),
                "channels": _POSITIVE,
                "modes": {**_POSITIVE, "description": "Stored modes of one channel."},
                "metrics": {
                    "$ref": "#/$defs/units",
                    "additionalProperties": _ref("outcome"),
                },
            }
        ),
        "checkpoint": _object(
            {
                "path": _TEXT,
                "container": _TEXT,
                "size": _nullable({**_COUNT, "description": "Bytes; null in memory."}),
                "tensors": _COUNT,
                "fingerprint": _nullable(
                    {
                        "type": "string",
                        "pattern": "^[0-9a-f]{64}$",
                        "description": "Equal for two files that hold the same layers.",
                    }
                ),
            }
        ),
        "finding": _object(finding),
        "judged_finding": _object(finding | {"status": _choice(Status)}, optional=("status",)),
        "skipped": _object({"name": _TEXT, "reason": _TEXT}),
    }


def _finite() -> Schema:
    """A number that is one: either at least 0 or below 0, and NaN is neither or, to some, both."""
    return {
        "type": "number",
        "oneOf": [
            {"minimum": 0, "maximum": sys.float_info.max},
            {"exclusiveMaximum": 0, "minimum": -sys.float_info.max},
        ],
    }


def _unit(metric: Metric) -> Schema:
    units = [metric.unit]
    if metric.unit == CYCLES_PER_SAMPLE:
        units.append(HERTZ)
    return {
        "description": f"{metric.summary[0].upper()}{metric.summary[1:]}; "
        f"{_HEALTHIER[metric.direction]}.",
        "properties": {"unit": {"enum": units}},
    }


def _object(properties: Schema, description: str = "", optional: tuple[str, ...] = ()) -> Schema:
    told = {"description": description} if description else {}
    return {
        "type": "object",
        **told,
        "properties": properties,
        "required": [key for key in properties if key not in optional],
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _choice(values: type[StrEnum]) -> Schema:
    return {"enum": [value.value for value in values]}


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}
