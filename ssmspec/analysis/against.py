"""The use case behind `ssmspec analyze --against`: each layer beside the one a scheme would give.

The reference of a layer is what `reinit` would write into it: as many channels, modes and, where it
has any, its own step sizes. A continuous scheme is put at those step sizes; a scheme that gives
poles per sample does not depend on them.

"Closer" and "further" need a third point, where the layer began. It is the known initialization
nearest to the layer, at the layer's own step sizes, as for `init_scheme`; where none is known, or
the nearest is too far to be believed, neither word is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Unpack

from ssmspec.analysis.measure import InitialSpectra, layer_report, measure
from ssmspec.analysis.model import ModelLayer, Progress, ReadingOptions, Source, open_model
from ssmspec.analysis.target import Wish, target
from ssmspec.errors import UsageError
from ssmspec.metrics import METRICS, combine
from ssmspec.metrics.base import Context
from ssmspec.metrics.initialization import UNMOVED, drift
from ssmspec.outcome import NotApplicable
from ssmspec.reading import Reading
from ssmspec.results.against import Contrast, LayerContrast, SchemeComparison, Start
from ssmspec.results.report import LayerReport
from ssmspec.schemes import SCHEMES, Kind, Scheme
from ssmspec.schemes.options import DEFAULTS
from ssmspec.spectrum import LayerSpectrum, Structure

SEED = 0
"""Of the random parts of a reference; layer i draws with (SEED, i)."""

NO_KERNEL = "an initialization of the poles says nothing of B and C"

STRAYED = 10.0
"""Half-widths, rms, beyond which the nearest initialization is not taken for the start. A
heuristic: trained files lie within a few, and another scheme's poles tens to hundreds away."""


def against(
    source: Source,
    scheme: str,
    reading: Reading | None = None,
    *,
    seed: int = SEED,
    progress: Progress | None = None,
    **options: Unpack[ReadingOptions],
) -> SchemeComparison:
    """Set every layer of a model beside the layer that an initialization scheme would give it.

    Args:
        source: what `analyze` takes.
        scheme: the scheme's id, at its default options.
        reading: how to read the model; or its fields as keywords.
        seed: of the scheme's random parts, a non-negative integer.
        progress: called after each layer with (done, all).
        **options: fields of `Reading`.

    Returns:
        Value, reference and difference of every metric, and whether training moved it closer to
        the reference or further from it. A layer that cannot hold the scheme carries the reason.

    Raises:
        UsageError: there is no such scheme, or the seed is negative.
        CheckpointError: the source cannot be read.
        NoLayersError: nothing in it looks like a state-space layer.
    """
    law = SCHEMES.require(scheme)
    if seed < 0:
        raise UsageError(f"a seed is a non-negative integer, got {seed}")
    with open_model(source, reading, **options) as model:
        layers = [_contrast(layer, law, seed) for layer in model.layers(progress)]
        model.assume(_assumptions(law, seed, layers))
        return SchemeComparison(
            **model.about(),
            scheme=law.id,
            seed=seed,
            layers=tuple(layers),
            model=_model(layers),
        )


def _contrast(layer: ModelLayer, law: Scheme, seed: int) -> LayerContrast:
    family, spectrum, reading = layer.found.family, layer.spectrum, layer.model.reading
    measured = measure(family, spectrum, reading).layer
    starts = InitialSpectra(family, spectrum)
    drawn = _reference(spectrum, law, (seed, layer.place), starts)
    if isinstance(drawn, NotApplicable):
        return LayerContrast(measured, drawn, None, {})
    context = Context(reading.seq_len, reading.rate_of(spectrum.name), no_kernel=NO_KERNEL)
    reference = layer_report(drawn, law.title, context)
    start = _start(spectrum, starts)
    before = None
    if start is not None:
        trained = start.drift > UNMOVED
        before = layer_report(starts[start.scheme], family.title, context) if trained else measured
    return LayerContrast(
        measured,
        reference,
        start,
        {
            key: Contrast(outcome, reference.metrics[key], before.metrics[key] if before else None)
            for key, outcome in measured.metrics.items()
            if key not in ("init_scheme", "init_drift")
        },
    )


def _reference(
    spectrum: LayerSpectrum,
    law: Scheme,
    seed: tuple[int, int],
    starts: Mapping[str, LayerSpectrum] | None = None,
) -> LayerSpectrum | NotApplicable:
    """What re-initialization would write into the layer, or why it cannot be.

    Of a scheme that the layer may have started from it is the start itself, at the settings
    nearest to the layer (the blocks of `s5-hippo`).
    """
    if not spectrum.finite.all():
        return NotApplicable("poles are NaN or infinite")
    if law.oscillates and not spectrum.is_complex:
        real = ", ".join(scheme.id for scheme in SCHEMES.values() if not scheme.oscillates)
        return NotApplicable(
            f"real poles cannot oscillate as those of {law.id} do; {real} can be set beside them"
        )
    if law.kind is Kind.CONTINUOUS:
        if spectrum.dt is not None and not (spectrum.dt > 0.0).all():
            return NotApplicable("a step size is zero or not finite")
        if starts is not None and law.id in starts:
            return starts[law.id]
    try:
        wanted = target(spectrum, Wish(law, seed[0]), seed[1]).spectrum
    except UsageError as error:  # a scheme that is not computed at this size
        return NotApplicable(str(error))
    if not law.oscillates:
        wanted = replace(wanted, symmetry=law.symmetry)
    return replace(wanted, structure=Structure.DIAGONAL, condition=None, assumptions=())


def _start(spectrum: LayerSpectrum, starts: Mapping[str, LayerSpectrum]) -> Start | None:
    drifts = {scheme: drift(spectrum, initial) for scheme, initial in starts.items()}
    nearest = min(drifts, key=drifts.__getitem__, default=None)
    if nearest is None or drifts[nearest] > STRAYED:
        return None
    return Start(nearest, drifts[nearest])


def _model(layers: Sequence[LayerContrast]) -> dict[str, Contrast]:
    """Every metric over the layers that have a reference, and over their references."""
    compared = [layer for layer in layers if not isinstance(layer.reference, NotApplicable)]
    model = {}
    for metric in METRICS.values():
        contrasts = [
            (layer.layer.channels * layer.layer.modes, layer.metrics[metric.id])
            for layer in compared
            if metric.id in layer.metrics
        ]
        if contrasts:
            starts = [(weight, c.start) for weight, c in contrasts if c.start is not None]
            model[metric.id] = Contrast(
                combine(metric, [(weight, c.value) for weight, c in contrasts]).outcome,
                combine(metric, [(weight, c.reference) for weight, c in contrasts]).outcome,
                combine(metric, starts).outcome if len(starts) == len(contrasts) else None,
            )
    return model


def _assumptions(law: Scheme, seed: int, layers: Sequence[LayerContrast]) -> Iterator[str]:
    compared = [layer for layer in layers if isinstance(layer.reference, LayerReport)]
    if not compared:
        return
    with_dt = [layer for layer in compared if layer.layer.value("step_size_median") is not None]
    settings = _settings(law, draws_dt=len(with_dt) < len(compared))
    if settings or law.random:
        described = f" ({', '.join(settings)})" if settings else ""
        yield f"the references of {law.id} are one draw each with seed {seed}{described}"
    if law.kind is Kind.CONTINUOUS and with_dt:
        yield f"the references of {law.id} stand at each layer's own step sizes"
    starts = sorted({layer.start.scheme for layer in compared if layer.start})
    if starts:
        yield (
            f"a layer is taken to have started from the known initialization nearest to it, at its "
            f"own step sizes ({', '.join(starts)}): a change of step sizes is not seen"
        )
    unknown = sum(layer.start is None for layer in compared)
    if unknown:
        which = "the layers" if unknown == len(compared) else f"{unknown} of {len(compared)} layers"
        yield f"where {which} started is not known, so closer and further are left out there"


def _settings(law: Scheme, *, draws_dt: bool) -> list[str]:
    """The options a scheme was drawn with, in words: `xi from 0.001 to 0.1`."""
    knobs = DEFAULTS.resolve(law.id, law.options)
    shown = []
    for option in law.options:
        value = getattr(knobs, option)
        if option.endswith("_min"):
            name = option.removesuffix("_min")
            if name != "dt" or draws_dt:
                shown.append(f"{name} from {value:g} to {getattr(knobs, name + '_max'):g}")
        elif not option.endswith("_max") and value is not None:
            shown.append(f"{option} {value:g}")
    return shown
