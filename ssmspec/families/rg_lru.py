"""RG-LRU, the real-gated linear recurrent unit of Griffin and RecurrentGemma: one real pole each.

===========================  ==============  =================================================
tensor                       shape           meaning
===========================  ==============  =================================================
`recurrent_param`            (W,)            decay = 8 sigmoid(gate) softplus(recurrent_param)
`recurrent_gate_bias`        (heads, W/h)    the gate's bias (Hugging Face)
`a_param`, `a_gate.b`        same            the same two in JAX and torch RecurrentGemma
`a_log`                      (W, 1)          lrnnx: softplus(-a_log), as a = sigmoid(a_log)^(8 gate)
`recurrent_gate_proj.bias`   (W,)            the gate's bias (lrnnx)
===========================  ==============  =================================================

The gate depends on the input; at its bias alone the decay is nominal. At an initialized layer the
bias is 0, so nominal poles are the fourth power of the radii that are drawn from [0.9, 0.999].
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.errors import LayoutError
from ssmspec.families.base import Family, Found, LayerSite, LayerSource, Parameters
from ssmspec.families.catalog import Catalog
from ssmspec.families.parts.diagonal import (
    read_real,
    require_dimensions,
    softplus,
    softplus_inverse,
)
from ssmspec.families.parts.gates import (
    decay_spectrum,
    decay_to_write,
    nominal_decay_assumption,
    require_finite,
    sigmoid,
)
from ssmspec.naming import printable
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum

SCALE = 8.0
"""The constant c in front of the gate, the same in every public implementation."""

LRNNX = "lrnnx"
"""Variant: the decay is stored as the logit of a pole's radius, which turns its sign around."""

LAYOUTS = (
    ("recurrent_param", "recurrent_gate_bias", ""),
    ("a_param", "a_gate.b", ""),
    ("a_log", "recurrent_gate_proj.bias", LRNNX),
)
"""(decay parameter, bias of the gate, variant) of each implementation."""


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules with a decay parameter and the bias of the recurrence gate."""
    for module in catalog.having_any(rate for rate, _, _ in LAYOUTS):
        for rate, bias, variant in LAYOUTS:
            names = {"rate": module.leaves.get(rate), "bias": module.tensor(bias)}
            held = {role: name for role, name in names.items() if name is not None}
            if len(held) == len(names):
                yield LayerSite(module.name, held, variant)
                break


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(-8 sigmoid(bias) softplus(recurrent_param))."""
    _require_shapes(source)
    rate = read_real(source, "rate").reshape(-1)
    decay = softplus(-rate if source.site.variant == LRNNX else rate) * _gate(source)
    return decay_spectrum(source, FAMILY.id, decay, (nominal_decay_assumption(FAMILY.title),))


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """The decay parameter, (W,) or (W, 1) as stored; the gate stays as it is."""
    width = _require_shapes(source)
    decay = decay_to_write(source.name, FAMILY.title, spectrum, width)
    with np.errstate(divide="ignore", over="ignore"):
        rate = softplus_inverse(decay / _gate(source))
    rate = require_finite(source.name, FAMILY.title, rate)
    rate = -rate if source.site.variant == LRNNX else rate
    return {source.site.tensors["rate"]: rate.reshape(source.shape("rate"))}


def _gate(source: LayerSource) -> Floats:
    """(W,) nominal 8 sigmoid(bias); heads and their widths are consecutive channels."""
    return SCALE * sigmoid(read_real(source, "bias").reshape(-1))


def _require_shapes(source: LayerSource) -> int:
    """The number of channels W, equal in both tensors."""
    if source.site.variant == LRNNX:
        width, states = require_dimensions(source, "rate", "channels", "1")
        (gates,) = require_dimensions(source, "bias", "channels")
        fits = states == 1 and gates == width
    else:
        (width,) = require_dimensions(source, "rate", "channels")
        gates = math.prod(require_dimensions(source, "bias", "heads", "channels of a head"))
        fits = gates == width
    if not fits:
        raise LayoutError(
            f"{printable(source.site.tensors['rate'])} has shape {source.shape('rate')}, which "
            f"does not fit the gates of {printable(source.site.tensors['bias'])}, "
            f"{source.shape('bias')}"
        )
    return width


FAMILY = Family(
    id="rg-lru",
    title="RG-LRU",
    summary="gated linear recurrent unit of Griffin and RecurrentGemma (Hugging Face, JAX, torch, "
    "lrnnx); one real pole a channel, nominal",
    formula="pole_bar = exp(-8 sigmoid(gate bias) softplus(recurrent_param)), nominal",
    source="google-deepmind/recurrentgemma 2a3dde4, recurrentgemma/torch/layers.py; transformers "
    "5.23, modeling_recurrent_gemma.py; SforAiDl/lrnnx 1e79400, lrnnx/models/ltv/rglru.py",
    find=find,
    read=read,
    write=write,
    discretizations=(Discretization.NATIVE,),
    is_complex=False,
    parameters=Parameters(decay=("rate", "bias")),
)
