"""What a metric is: an id, a unit, a direction, what it needs, and one pure function.

To add a metric, write one `Metric` record in the file of its topic and add it to the table in
`ssmspec/metrics/__init__.py`; a third party publishes the same record under the entry-point group
`ssmspec.metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from ssmspec.arrays import Bools, Floats
from ssmspec.errors import SsmspecError
from ssmspec.kernel import Kernel
from ssmspec.outcome import Direction, Measured, NotApplicable, NotFinite, Outcome
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Structure
from ssmspec.units import CYCLES_PER_SAMPLE, HERTZ, freq_to_hertz


@dataclass(frozen=True)
class Context:
    """What a measurement may know beside the poles.

    Attributes:
        sequence_length: L in samples, or None.
        sample_rate: rate of this layer in hertz, or None.
        references: the layer as every scheme its family is known to start from would initialize
            it, of the same shape and at the layer's own step sizes, by scheme id. Empty where the
            family's initial poles are random or unknown.
        kernel: the layer's kernel with the same poles, or None where B and C are not known.
        no_kernel: why there is none, as a clause.
        row_stride: samples from one row of an image to the next, or None.
        resample: by what factor a run is to lower the sample rate, or None where nobody asked.
        slack: (H, M) distance in nat or rad a sample within which a mode counts as where it began,
            because its parameters are stored so coarsely; None where they are not.
        nearest: layer -> (drift, scheme id) of its nearest reference, once it was searched for.
    """

    sequence_length: int | None = None
    sample_rate: float | None = None
    references: Mapping[str, LayerSpectrum] = field(default_factory=dict)
    kernel: Kernel | None = None
    no_kernel: str = "C is not in the file"
    row_stride: int | None = None
    resample: float | None = None
    slack: Floats | None = None
    nearest: dict[LayerSpectrum, tuple[float, str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def length(self) -> int:
        """L, for metrics that need it (their requirement guarantees it is there)."""
        if self.sequence_length is None:
            raise SsmspecError("internal error: a metric that needs L was measured without it")
        return self.sequence_length

    @property
    def known_kernel(self) -> Kernel:
        """The kernel, for metrics that need it (their requirement guarantees it is there)."""
        if self.kernel is None:
            raise SsmspecError("internal error: a metric that needs B and C was measured without")
        return self.kernel


class Aggregate(StrEnum):
    """How layers are brought together into one number for the model.

    A value that is itself an extremum over modes keeps its own direction (`max_radius` and
    `memory_ratio` their maximum, `nyquist_headroom` its minimum), so that the model's number is
    that of all its modes together. A risk takes its worst layer. `ssmspec.metrics.aggregate` does
    the arithmetic.
    """

    MAX = "maximum over layers"
    MIN = "minimum over layers"
    MEAN = "mean over layers, weighted by modes"
    COMMON = "the value that layers share"


@dataclass(frozen=True)
class Requirement:
    """Something a layer must have for a metric to mean anything.

    Attributes:
        label: what is required, for tables: "complex poles".
        missing: the reason it does not hold for a layer, or None where it does.
    """

    label: str
    missing: Callable[[LayerSpectrum, Context], str | None]


@dataclass(frozen=True)
class Metric:
    """One measurement of one layer.

    Attributes:
        id: stable name, as in reports and on the command line.
        unit: unit of what `measure` returns. A metric in `units.CYCLES_PER_SAMPLE` is reported in
            hertz where the layer's sample rate is known.
        direction: which way is healthier.
        aggregate: how layers are combined for the model.
        summary: one line for people.
        formula: the definition, in the notation of the docs.
        measure: the value of a layer that meets every requirement.
        needs: requirements, checked in order; the first that is missing is the reason given.
            Finite poles are required of every layer and need not be named.
        source: where the definition comes from.
        note: what the number is easily mistaken for, in full sentences; empty where for nothing.
    """

    id: str
    unit: str
    direction: Direction
    aggregate: Aggregate
    summary: str
    formula: str
    measure: Callable[[LayerSpectrum, Context], float | str | NotApplicable]
    needs: tuple[Requirement, ...] = ()
    source: str = "ssmspec"
    note: str = ""

    def __call__(self, layer: LayerSpectrum, context: Context) -> Outcome:
        """Measure one layer; a number that is not finite never leaves this function."""
        for requirement in (FINITE, *self.needs):
            reason = requirement.missing(layer, context)
            if reason is not None:
                return NotApplicable(reason)
        with np.errstate(over="ignore"):  # an infinite value is named as such below
            value = self.measure(layer, context)
        if isinstance(value, NotApplicable):
            return value
        if isinstance(value, str):
            return Measured(value, self.unit)
        if math.isnan(value):  # nothing compares with NaN, so that a rule would let it pass
            return NotFinite("the value came out as NaN (not a number)")
        if not math.isfinite(value):
            return NotApplicable(f"the value is beyond what a float holds ({value})")
        number = float(value) + 0.0  # -0.0 becomes 0.0
        if self.unit == CYCLES_PER_SAMPLE and context.sample_rate is not None:
            return Measured(freq_to_hertz(number, context.sample_rate), HERTZ)
        return Measured(number, self.unit)


def share(mask: Bools) -> float:
    """The fraction of modes (or channels) for which a condition holds, in [0, 1]; any shape."""
    return int(np.count_nonzero(mask)) / mask.size


def resonant(layer: LayerSpectrum) -> Bools:
    """(H, M), the modes that have a frequency: stable ones that outlast a sample, decay <= 1."""
    return layer.stable & (layer.decay <= 1.0)


def _requires(
    label: str, holds: Callable[[LayerSpectrum, Context], bool], reason: str
) -> Requirement:
    return Requirement(label, lambda layer, context: None if holds(layer, context) else reason)


def _not_finite(layer: LayerSpectrum, _: Context) -> str | None:
    count = layer.non_finite
    verb = "is" if count == 1 else "are"
    return f"{count} of {layer.log_poles.size} poles {verb} NaN or infinite" if count else None


FINITE = Requirement("finite poles", _not_finite)
COMPLEX = _requires(
    "complex poles", lambda layer, _: layer.is_complex, "real poles do not oscillate"
)
STEP_SIZE = _requires(
    "step sizes", lambda layer, _: layer.dt is not None, "the family has no step size"
)
SEQUENCE_LENGTH = _requires(
    "sequence length",
    lambda _, context: context.sequence_length is not None,
    "the sequence length is not known (--seq-len gives it)",
)
STABLE_MODE = _requires(
    "a stable mode", lambda layer, _: bool(layer.stable.any()), "no mode is stable"
)
RESONANT_MODE = _requires(
    "a stable mode with decay <= 1",
    lambda layer, _: bool(resonant(layer).any()),
    "no stable mode outlasts a sample (decay <= 1), and a shorter one has no frequency",
)
SEVERAL_CHANNELS = _requires(
    "two or more channels",
    lambda layer, _: layer.channels >= 2,
    "the layer has one channel, so nothing varies across channels",
)
DIAGONAL = _requires(
    "a diagonal state matrix",
    lambda layer, _: layer.structure is Structure.DIAGONAL,
    "the eigenvalues of a DPLR matrix have no rank that channels share",
)


def _not_aliasable(layer: LayerSpectrum, _: Context) -> str | None:
    if layer.discretization is Discretization.BILINEAR:
        return "the bilinear rule warps frequencies and never aliases them"
    if layer.discretization is Discretization.NATIVE:
        return "the family stores discrete poles, which cannot alias"
    return None


ALIASABLE = Requirement("continuous poles under ZOH", _not_aliasable)
KNOWN_INITIALIZATION = _requires(
    "a family with a known initialization",
    lambda _, context: bool(context.references),
    "no initialization is known for this family (random initial poles have none)",
)


LARGEST_NUMBER = 1e70
"""Absolute value of B and C beyond which products of four of them could overflow."""


def _no_kernel(layer: LayerSpectrum, context: Context) -> str | None:
    if layer.selective:
        return "B, C and dt depend on the input"
    if context.kernel is None:
        return context.no_kernel
    broken = context.kernel.non_finite
    if broken:
        return f"B or C holds numbers that are NaN or infinite ({broken:,} of them)"
    if context.kernel.largest > LARGEST_NUMBER:
        return f"B or C holds numbers too large to work with ({context.kernel.largest:.3g})"
    return None


def _not_decaying(layer: LayerSpectrum, _: Context) -> str | None:
    lasting = int(np.count_nonzero(layer.decay <= 0.0))
    return f"{lasting:,} of {layer.log_poles.size:,} modes do not decay" if lasting else None


def _not_summable(layer: LayerSpectrum, context: Context) -> str | None:
    lasting = None if context.sequence_length is not None else _not_decaying(layer, context)
    return lasting and f"{lasting}, and the sequence length is not known (--seq-len gives it)"


LARGEST_LAYER = 2**18
"""Modes of a layer up to which peak gains and Hankel singular values are computed, for time: about
0.1 ms a mode (heuristic)."""
LARGEST_PAIRING = 2**24
"""Likewise H M^2, the pairs of modes of one channel."""


def _too_large(layer: LayerSpectrum, _: Context) -> str | None:
    count, pairs = layer.log_poles.size, layer.log_poles.size * layer.modes
    if count > LARGEST_LAYER:
        return f"{count:,} modes are too many; it is computed for up to {LARGEST_LAYER:,}"
    if pairs > LARGEST_PAIRING:
        return f"{pairs:,} pairs of modes are too many; it is computed for {LARGEST_PAIRING:,}"
    return None


KERNEL = Requirement("B and C in the file", _no_kernel)
DECAYING = Requirement("modes that decay", _not_decaying)
SUMMABLE = Requirement("modes that decay, or the sequence length", _not_summable)
TRACTABLE = Requirement(f"at most {LARGEST_LAYER:,} modes", _too_large)
TIME_INVARIANT = _requires(
    "poles that do not depend on the input",
    lambda layer, _: not layer.selective,
    "the poles depend on the input",
)
ROW_STRIDE = _requires(
    "row stride",
    lambda _, context: context.row_stride is not None,
    "the row stride is not known (--row-stride gives it)",
)
RESAMPLE = _requires(
    "a change of rate",
    lambda _, context: context.resample is not None,
    "nobody asked for another rate (--resample does)",
)
