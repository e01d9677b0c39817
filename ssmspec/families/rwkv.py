"""RWKV 4 to 7: real poles, one a channel.

===================  ==========================  =============================================
tensor               shape                       meaning
===================  ==========================  =============================================
`time_decay`         (C,), or (h, d) in RWKV-5   decay = exp(time_decay), the same at every step
`time_decay`         (1, 1, C)                   RWKV-6: the bias of log decay, beside
`time_decay_w1`,     (C, r), (r, C)              the low-rank map of the input that is added to it
`time_decay_w2`
`w_proj.linear.`     (C,)                        RWKV-6 in fla: the bias of log decay
`lora.2.bias`
`w0`                 (C,) or (1, 1, C)           RWKV-7: decay = exp(-1/2) sigmoid(w0 + low-rank)
`w_lora.lora.2.bias` (C,)                        RWKV-7 in fla: the same as `w0`
`d_lora_mlp.`        (C,)                        RWKV-7 in a port: the same as `w0`
`B_and_lamb.bias`
===================  ==========================  =============================================

RWKV-4 and 5 decay alike at every step; what they remember is still weighted by the input, through
exp(key). RWKV-6 and 7 are selective, and read at the bias of the gate. In RWKV-7 the decay is one
factor of the state matrix diag(decay) - kk^T (a kk), the rest depends on the input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.base import Family, Found, LayerSite, LayerSource, Parameters, require_shape
from ssmspec.families.catalog import Catalog, Module
from ssmspec.families.parts.diagonal import exp, read_real
from ssmspec.families.parts.gates import (
    PART_OF_SPECTRUM,
    decay_spectrum,
    decay_to_write,
    nominal_decay_assumption,
    sigmoid,
    sigmoid_inverse,
)
from ssmspec.naming import printable
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum

FIXED = "4, 5"
"""Variant: a decay that does not depend on the input."""
SELECTIVE = "6"
"""Variant: log decay = bias + low-rank map of the input."""
BOUNDED = "7"
"""Variant: decay = exp(-1/2) sigmoid(bias + low-rank map of the input)."""

LARGEST = math.exp(-0.5)
"""Upper bound of the decay in RWKV-7, nat/sample: log decay = -softplus(-x) - 1/2."""

BONUSES = ("time_first", "time_faaaa")
"""What stands beside the decay, channel for channel: the weight of the current token."""

IN_FLA = (
    ("w_proj.linear.lora.2", SELECTIVE),
    ("w_lora.lora.2", BOUNDED),
    ("d_lora_mlp.B_and_lamb", BOUNDED),
)
"""(linear map whose bias is the decay's, variant) of flash-linear-attention, and of a port that
calls the map `d_lora_mlp`."""


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules with a decay, and in RWKV-6 and 7 the low-rank map that is added to it."""
    for module in catalog.having_any(("time_decay", "w0")):
        if "time_decay" in module.leaves:
            yield _with_time_decay(module)
        elif is_rwkv7(module):
            maps = {role: module.leaves[name] for role, name in (("decay", "w0"), ("map", "w2"))}
            yield LayerSite(module.name, maps, BOUNDED)
    yield from _find_fla(catalog)


def _with_time_decay(module: Module) -> LayerSite:
    names = (("decay", "time_decay"), ("map", "time_decay_w2"), *(("bonus", b) for b in BONUSES))
    tensors = {role: module.leaves[name] for role, name in names if name in module.leaves}
    return LayerSite(module.name, tensors, SELECTIVE if "map" in tensors else FIXED)


def _find_fla(catalog: Catalog) -> Iterator[LayerSite]:
    for module in catalog.at_end_of(tuple(path for path, _ in IN_FLA), "bias"):
        if "weight" not in module.leaves:
            continue
        for path, variant in IN_FLA:
            if f".{module.path}".endswith(f".{path}"):
                layer = catalog.module(module.path.removesuffix(path).removesuffix("."))
                maps = {"decay": module.leaves["bias"], "map transposed": module.leaves["weight"]}
                yield LayerSite(layer.name, maps, variant)


def is_rwkv7(module: Module) -> bool:
    """The decay's low-rank map: `w0` (1, 1, C), `w1` (C, r), `w2` (r, C), in an RWKV."""
    if not module.has("w0", "w1", "w2"):
        return False
    bias, down, up = (module.shape(name) or () for name in ("w0", "w1", "w2"))
    fits = len(down) == 2 and len(up) == 2 and bias[-1:] == down[:1] and up == down[::-1]
    neighbors = {"a0", "k_k", "r_k"}
    return fits and (not neighbors.isdisjoint(module.leaves) or "rwkv" in module.path.lower())


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(-exp(time_decay)), or exp(-exp(-1/2) sigmoid(w0))."""
    _require_shape(source)
    stored = read_real(source, "decay").reshape(-1)
    variant = source.site.variant
    decay = LARGEST * sigmoid(stored) if variant == BOUNDED else exp(stored)
    told: tuple[str, ...] = ()
    if variant != FIXED:
        told += (nominal_decay_assumption(f"RWKV-{variant}"),)
    if variant == BOUNDED:
        told += (PART_OF_SPECTRUM.format(title=f"RWKV-{variant}"),)
    return decay_spectrum(source, FAMILY.id, decay, told, selective=variant != FIXED)


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """The decay's own tensor, (C,), (1, 1, C) or (h, d) as stored; low-rank maps stay."""
    channels = _require_shape(source)
    decay = decay_to_write(source.name, FAMILY.title, spectrum, channels)
    stored = _bounded(source.name, decay) if source.site.variant == BOUNDED else np.log(decay)
    return {source.site.tensors["decay"]: stored.reshape(source.shape("decay"))}


def _bounded(name: str, decay: Floats) -> Floats:
    if not (decay < LARGEST).all():
        raise SchemeError(
            f"{printable(name)}: an RWKV-7 holds decays below exp(-1/2) = {LARGEST:.4f} "
            f"nat/sample only, and the scheme has one of {float(decay.max()):.3g}; "
            f"use smaller decays"
        )
    return sigmoid_inverse(decay / LARGEST)


def _require_shape(source: LayerSource) -> int:
    """The number of channels C, where the decay fits what stands beside it."""
    shape = source.shape("decay")
    if source.has("map transposed"):
        require_shape(source, "decay", source.shape("map transposed")[:1])
    elif source.has("map"):
        channels = source.shape("map")[-1:]
        if shape not in (channels, (1, 1, *channels)):
            require_shape(source, "decay", (1, 1, *channels))
    elif source.has("bonus"):
        require_shape(source, "bonus", shape)
    if not 1 <= len(shape) <= 3:
        raise LayoutError(
            f"{printable(source.site.tensors['decay'])} has shape {shape}, expected (channels,), "
            f"(heads, channels of a head) or (1, 1, channels)"
        )
    return math.prod(shape)


FAMILY = Family(
    id="rwkv",
    title="RWKV",
    summary="RWKV 4 to 7 (RWKV-LM, Hugging Face, fla); one real pole a channel, from version 6 on "
    "nominal",
    formula="pole_bar = exp(-exp(time_decay)); RWKV-7: exp(-exp(-1/2) sigmoid(w0)), nominal",
    source="BlinkDL/RWKV-LM 524481d, RWKV-v4/src/model.py, RWKV-v5/src/model.py, "
    "RWKV-v7/rwkv_v8_rc00_demo.py; fla-org/flash-linear-attention 0315a70, fla/layers/rwkv7.py",
    find=find,
    read=read,
    write=write,
    discretizations=(Discretization.NATIVE,),
    is_complex=False,
    parameters=Parameters(decay=("decay",)),
)
