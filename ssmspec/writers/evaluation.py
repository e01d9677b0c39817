"""An evaluation for a person: the model as it was trained, and beside it what was changed."""

from __future__ import annotations

from collections.abc import Iterator

from ssmspec.naming import printable
from ssmspec.outcome import NotApplicable
from ssmspec.registry import Registry
from ssmspec.results.evaluation import Classes, Evaluation, Scores
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.formats import formats
from ssmspec.writers.parts import document as doc
from ssmspec.writers.parts.numbers import NOT_APPLICABLE as NO_VALUE
from ssmspec.writers.parts.numbers import count, numeric, percent, significant
from ssmspec.writers.parts.terminal import Column, Name

ACCURACY = "accuracy"

MOST_CLASSES = 12
"""Classes up to which the text has a table of them; JSON always has."""


def build(result: Evaluation, page: Page) -> doc.Document:
    """The evaluation as a document."""
    about = f"   {result.task}, {result.scheme}, {result.which.value} weights"
    return doc.Document((Name(result.folder), about), tuple(_parts(result, page)))


def _parts(result: Evaluation, page: Page) -> Iterator[doc.Part]:
    answers = "" if result.answers == result.examples else f", {result.answers:,} answers"
    yield doc.Line(f"{result.part.value}: {count(result.examples, 'example')}{answers}")
    yield doc.Grid(_scores(result))
    if result.classes is not None:
        yield doc.Line(f"macro-F1 {percent(numeric(result.classes.macro_f1))}")
        if len(result.classes.confusion) <= MOST_CLASSES:
            yield doc.Grid(_confusion(result.classes))
    if result.resampled or result.cuts:
        yield _layers(result, page)
    yield doc.Listed("notes", [*_sentences(result), *result.notes])


def _scores(result: Evaluation) -> list[Column]:
    rows = [("as trained", result.scores, result.sequence_length, result.sample_rate)]
    if result.resampled:
        there = result.resampled
        label = f"1/{there.factor} of the rate"
        rows.append((label, there.scores, there.sequence_length, there.sample_rate))
    for cut in result.cuts:
        taps = f"first {count(cut.taps, 'tap')}"
        rows.append((taps, cut.scores, result.sequence_length, result.sample_rate))
    return [
        Column("", [label for label, *_ in rows], right=False, style="bold"),
        Column(result.metric, [_metric(result, scores) for _, scores, *_ in rows]),
        Column("loss", [significant(numeric(scores.loss), 4) for _, scores, *_ in rows]),
        Column("L", [f"{length:,}" for _, _, length, _ in rows], rank=1),
        Column("Hz", [significant(rate, 6) for *_, rate in rows], rank=2),
    ]


def _confusion(classes: Classes) -> list[Column]:
    """A row for each class that was asked for, a column for each that was answered."""
    labels = [str(label) for label in range(len(classes.confusion))]
    columns = zip(*classes.confusion, strict=True)
    asked = Column("asked, answered", labels, right=False, style="bold")
    return [
        asked,
        *(
            Column(label, [f"{number:,}" for number in column])
            for label, column in zip(labels, columns, strict=True)
        ),
    ]


def _metric(result: Evaluation, scores: Scores) -> str:
    value = numeric(scores.metric)
    if result.metric != ACCURACY or value is None:
        return significant(value, 4)
    return f"{100 * value:.2f} %"


def _layers(result: Evaluation, page: Page) -> doc.Grid:
    """What was done to each layer, where anything was."""
    resampled = result.resampled
    names = [layer.name for layer in resampled.layers] if resampled else []
    names += [layer.name for cut in result.cuts for layer in cut.layers]
    labels, notes = doc.labelled(list(dict.fromkeys(names)), page)
    columns = [Column("layer", labels, right=False, style="bold")]
    if resampled:
        before = [percent(numeric(layer.trained)) for layer in resampled.layers]
        after = [percent(numeric(layer.resampled)) for layer in resampled.layers]
        columns.append(Column("aliased", before, rank=1))
        columns.append(Column(f"aliased at 1/{resampled.factor} of the rate", after))
    for cut in result.cuts:
        kept = [percent(numeric(layer.energy)) for layer in cut.layers]
        columns.append(Column(f"kernel energy in {count(cut.taps, 'tap')}", kept))
    return doc.Grid(columns, notes)


def _sentences(result: Evaluation) -> Iterator[str]:
    if result.resampled:
        yield from result.resampled.rules
        if any(numeric(layer.resampled) for layer in result.resampled.layers):
            yield (
                "aliased: modes whose frequency passes half of that rate and is heard as another; "
                "bandlimit the model in training (or mask these modes) if it is to run there"
            )
    if result.cuts:
        taps = ", ".join(f"{cut.taps:,}" for cut in result.cuts)
        yield (
            f"kernels are 0 from lag {taps} on, in both directions where there are two; nothing "
            f"was trained again, and energy that is kept is not accuracy that is kept"
        )
    if result.predictions is not None:
        yield f"the answers are in {printable(result.predictions)}"
    reasons = [
        part.scores.metric.reason
        for part in (result, result.resampled, *result.cuts)
        if part is not None and isinstance(part.scores.metric, NotApplicable)
    ]
    yield from dict.fromkeys(f"{NO_VALUE}: {reason}" for reason in reasons)


EVALUATION_WRITERS: Registry[Writer[Evaluation]] = Registry(
    "format", "ssmspec.evaluation_writers", formats(build), key=lambda writer: writer.id
)
