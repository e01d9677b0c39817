"""Gated delta rules: the decay of gated DeltaNet, KDA, Comba, Qwen3-Next and Kimi-Linear.

===========  =====================  ==========================================================
tensor       shape                  meaning
===========  =====================  ==========================================================
`A_log`      (h,) or (1, 1, h, 1)   log rate of each head
`dt_bias`    (h,)                   gate of each head: decay = exp(A_log) softplus(. + dt_bias)
`dt_bias`    (h d,)                 KDA: a gate for each of a head's d key channels
===========  =====================  ==========================================================

The state matrix is exp(g) (I - beta k k^T): the decay g is what the file knows of it, one
eigenvalue is exp(g) (1 - beta), and beta and k depend on the input. Of the same names, Mamba-2 is
told apart by its projections.

Qwen3-Next, Megatron and fla's KDA start from one and the same `dt_bias` in all heads, and only the
product of rate and gate is ever used: it is read as a decay, not as a step size.

A KDA can also be built with a bounded ("safe") gate, for which config.json is asked:
decay = bound sigmoid(exp(A_log) (. + dt_bias)).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.base import Family, Found, LayerSite, LayerSource, Parameters
from ssmspec.families.catalog import Catalog, Module
from ssmspec.families.mamba2 import is_delta_rule
from ssmspec.families.parts.diagonal import (
    exp,
    read_real,
    require_dimensions,
    softplus,
    softplus_inverse,
)
from ssmspec.families.parts.gates import (
    PART_OF_SPECTRUM,
    decay_spectrum,
    decay_to_write,
    nominal_decay_assumption,
    require_finite,
    sigmoid,
    sigmoid_inverse,
)
from ssmspec.naming import printable
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum

ROLES = ("A_log", "dt_bias")

ATTENTIONS = frozenset({"linear_attn", "self_attn", "attn", "forget_gate"})
"""What the module is called where its projections do not give it away."""

DEFAULT_BOUND = 5.0
"""Bound of a safe gate in nat/sample where config.json asks for one and names none."""

UNBOUNDED = (
    "KDA does not store whether its gate is bounded (safe_gate); taken as not bounded, "
    "decay = exp(A_log) softplus(dt_bias)"
)


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules with `A_log` and `dt_bias` that are a delta rule by their projections or name."""
    for module in catalog.having(*ROLES):
        if is_delta_rule(module) or _is_attention(module):
            yield LayerSite(module.name, {role: module.leaves[role] for role in ROLES})


def _is_attention(module: Module) -> bool:
    return module.path.rpartition(".")[2] in ATTENTIONS


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(-exp(A_log) softplus(dt_bias)), one a head or one a key channel."""
    _, width = _shape(source)
    rate = np.repeat(exp(read_real(source, "A_log").reshape(-1)), width)
    gate = read_real(source, "dt_bias")
    bound = _bound(source, width)
    with np.errstate(over="ignore", invalid="ignore"):
        decay = rate * softplus(gate) if bound is None else bound * sigmoid(rate * gate)
    told: tuple[str, ...] = (
        nominal_decay_assumption(FAMILY.title),
        PART_OF_SPECTRUM.format(title=FAMILY.title),
    )
    if bound is not None:
        told += (f"config.json bounds the gate: no decay is above {bound:g} nat/sample",)
    elif width > 1:
        told += (UNBOUNDED,)
    return decay_spectrum(source, FAMILY.id, decay, told)


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """The rates (h,) of heads that have one gate, otherwise the gates (h d,) of their channels."""
    heads, width = _shape(source)
    decay = decay_to_write(source.name, FAMILY.title, spectrum, heads * width)
    bound = _bound(source, width)
    if width == 1:
        with np.errstate(divide="ignore"):
            values = np.log(decay) - np.log(softplus(read_real(source, "dt_bias")))
        A_log = require_finite(source.name, FAMILY.title, values)
        return {source.site.tensors["A_log"]: A_log.reshape(source.shape("A_log"))}
    rate = np.repeat(exp(read_real(source, "A_log").reshape(-1)), width)
    dt_bias = _gates(source.name, decay, rate, bound)
    return {source.site.tensors["dt_bias"]: require_finite(source.name, FAMILY.title, dt_bias)}


def _gates(name: str, decay: Floats, rate: Floats, bound: float | None) -> Floats:
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if bound is None:
            return softplus_inverse(decay / rate)
        if not (decay < bound).all():
            raise SchemeError(
                f"{printable(name)}: config.json bounds decays to {bound:g} nat/sample, and the "
                f"scheme has one of {float(decay.max()):.3g}; use smaller decays"
            )
        return sigmoid_inverse(decay / bound) / rate


def _shape(source: LayerSource) -> tuple[int, int]:
    """(heads, gates of a head)."""
    shape = source.shape("A_log")
    if len(shape) == 4 and (shape[0], shape[1], shape[3]) == (1, 1, 1):
        heads = shape[2]
    else:
        (heads,) = require_dimensions(source, "A_log", "heads")
    (gates,) = require_dimensions(source, "dt_bias", "gates")
    if heads == 0 or gates == 0 or gates % heads:
        raise LayoutError(
            f"{printable(source.site.tensors['dt_bias'])} has {gates} gates, which do not divide "
            f"among the {heads} heads of {printable(source.site.tensors['A_log'])}"
        )
    return heads, gates // heads


def _bound(source: LayerSource, width: int) -> float | None:
    """The bound of the decay in nat/sample that config.json states for a gate a channel, or None.

    Keys: `linear_lower_bound` (GLM), `kda_safe_gate` and `kda_lower_bound` (Bailing), `safe_gate`
    and `gate_lower_bound` or `lower_bound` (fla, Kimi); the bound is stored as a negative number.
    """
    config = source.checkpoint.config
    nested = (config.get(key) for key in ("text_config", "linear_attn_config"))
    tables = (config, *(table for table in nested if isinstance(table, Mapping)))
    if width == 1:
        return None
    for table in tables:
        asked = table.get("safe_gate") is True or table.get("kda_safe_gate") is True
        keys: tuple[str, ...] = ("linear_lower_bound",)
        if asked:
            keys += ("kda_lower_bound", "gate_lower_bound", "lower_bound")
        stated = [bound for key in keys if (bound := _negative(table.get(key))) is not None]
        if stated or asked:
            return stated[0] if stated else DEFAULT_BOUND
    return None


def _negative(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return -float(value) if is_number and -np.inf < value < 0 else None


FAMILY = Family(
    id="gated-deltanet",
    title="gated DeltaNet",
    summary="decay of gated delta rules: gated DeltaNet, KDA, Comba, Qwen3-Next and 3.5, "
    "OLMo-hybrid, Kimi-Linear; one real pole a head or key channel, nominal",
    formula="pole_bar = exp(-exp(A_log) softplus(dt_bias)), nominal; the state matrix is "
    "exp(g) (I - beta k k^T)",
    source="fla-org/flash-linear-attention 0243cc4, fla/layers/gated_deltanet.py and kda.py; "
    "transformers 5.23, modeling_qwen3_next.py, modeling_kimi_linear.py",
    find=find,
    read=read,
    write=write,
    discretizations=(Discretization.NATIVE,),
    is_complex=False,
    split={"A_log": 0, "dt_bias": 0},
    parameters=Parameters(
        decay=("A_log",),
        step=("dt_bias",),
        own_constant=1.0,
        own_channel_constant=0.0,
        rates_from_zero=True,
    ),
)
