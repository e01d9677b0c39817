"""An evaluation for a person: the model as it was trained, and beside it what was changed."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich.text import Text

from ssmspec.naming import printable
from ssmspec.outcome import Measured, NotApplicable, Outcome
from ssmspec.results.evaluation import Evaluation, Scores
from ssmspec.writers.base import Page
from ssmspec.writers.parts import terminal
from ssmspec.writers.parts.numbers import NOT_APPLICABLE as NO_VALUE
from ssmspec.writers.parts.numbers import percent, significant
from ssmspec.writers.parts.terminal import Column, hanging, short_names, to_text

ACCURACY = "accuracy"


def render_text(result: Evaluation, page: Page) -> str:
    """The evaluation as text; ANSI styles only where the page has color."""
    return to_text(_lines(result, page), page)


def render_json(result: Evaluation, page: Page) -> str:
    """`Evaluation.to_dict()`; a NaN or an infinity is an error here."""
    del page  # JSON has no width, color or verbosity: it is always complete
    return json.dumps(result.to_dict(), indent=2, allow_nan=False, ensure_ascii=True) + "\n"


def _lines(result: Evaluation, page: Page) -> Iterator[Text]:
    yield Text.assemble(
        (printable(result.folder), "bold"),
        f"   {printable(result.task)}, {printable(result.scheme)}, {result.which.value} weights",
    )
    yield Text(f"{result.part.value}: {_counts(result)}")
    yield Text()
    yield from terminal.lines(_scores(result), page.width)
    columns, pattern = _layers(result, page)
    if len(columns) > 1:
        yield Text()
        yield from terminal.lines(columns, page.width)
        if pattern:
            yield Text(f"layers are {pattern.replace('{}', '<layer>')}", style="dim")
    yield Text()
    for sentence in (*_sentences(result), *result.notes):
        yield from hanging(Text("- ", style="dim"), Text(sentence), page)


def _counts(result: Evaluation) -> str:
    examples = f"{result.examples:,} example{'s' * (result.examples != 1)}"
    if result.answers == result.examples:
        return examples
    return f"{examples}, {result.answers:,} answers"


def _scores(result: Evaluation) -> list[Column]:
    rows = [("as trained", result.scores, result.sequence_length, result.sample_rate)]
    if result.resampled:
        there = result.resampled
        label = f"1/{there.factor} of the rate"
        rows.append((label, there.scores, there.sequence_length, there.sample_rate))
    if result.cut:
        taps = f"first {result.cut.taps:,} tap{'s' * (result.cut.taps != 1)}"
        rows.append((taps, result.cut.scores, result.sequence_length, result.sample_rate))
    return [
        Column("", [label for label, *_ in rows], right=False, style="bold"),
        Column(result.metric, [_metric(result, scores) for _, scores, *_ in rows]),
        Column("loss", [significant(_number(scores.loss), 4) for _, scores, *_ in rows]),
        Column("L", [f"{length:,}" for _, _, length, _ in rows], rank=1),
        Column("Hz", [significant(rate, 6) for *_, rate in rows], rank=2),
    ]


def _metric(result: Evaluation, scores: Scores) -> str:
    value = _number(scores.metric)
    if result.metric != ACCURACY or value is None:
        return significant(value, 4)
    return f"{100 * value:.2f} %"


def _layers(result: Evaluation, page: Page) -> tuple[list[Column], str]:
    """What was done to each layer, where anything was, and what their names share."""
    resampled, cut = result.resampled, result.cut
    names = [layer.name for part in (resampled, cut) if part for layer in part.layers]
    labels = [printable(name) for name in dict.fromkeys(names)]
    pattern = ""
    if page.width is not None:
        labels, pattern = short_names(labels)
    columns = [Column("layer", labels, right=False, style="bold")]
    if resampled:
        cells = [
            (percent(_number(layer.trained)), percent(_number(layer.resampled)))
            for layer in resampled.layers
        ]
        columns.append(Column("aliased", [before for before, _ in cells], rank=1))
        title = f"aliased at 1/{resampled.factor} of the rate"
        columns.append(Column(title, [after for _, after in cells]))
    if cut:
        kept = [percent(_number(layer.energy)) for layer in cut.layers]
        columns.append(Column(f"kernel energy in {cut.taps:,} taps", kept))
    return columns, pattern


def _sentences(result: Evaluation) -> Iterator[str]:
    if result.resampled:
        yield from result.resampled.rules
        aliased = [_number(layer.resampled) for layer in result.resampled.layers]
        if any(aliased):
            yield (
                "aliased: modes whose frequency passes half of that rate and is heard as another; "
                "bandlimit the model in training (or mask these modes) if it is to run there"
            )
    if result.cut:
        yield (
            f"kernels are 0 from lag {result.cut.taps:,} on, in both directions where there are "
            f"two; nothing was trained again"
        )
    reasons = [
        part.scores.metric.reason
        for part in (result, result.resampled, result.cut)
        if part is not None and isinstance(part.scores.metric, NotApplicable)
    ]
    yield from dict.fromkeys(f"{NO_VALUE}: {reason}" for reason in reasons)


def _number(outcome: Outcome) -> float | None:
    if isinstance(outcome, Measured) and not isinstance(outcome.value, str):
        return outcome.value
    return None
