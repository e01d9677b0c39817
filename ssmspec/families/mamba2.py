"""Mamba-2 (SSD): selective, one real pole per head.

===============  ========  ==============================================================
tensor           shape     meaning
===============  ========  ==============================================================
`A_log`          (h,)      A = -exp(A_log), h heads
`dt_bias`        (h,)      dt = clamp(softplus(. + dt_bias), time_step_limit)
`ssm_a`          (h, 1)    GGUF: A itself
`ssm_dt.bias`    (h,)      GGUF: `dt_bias`
`D`              (h,) or (d_ssm,)   skip; with `in_proj` and `conv1d` the evidence of a Mamba-2
===============  ========  ==============================================================

The module is called `mixer` (mamba_ssm, Hugging Face mamba2, nemotron_h), `mamba` (bamba, zamba2,
falcon_h1, granitemoehybrid) or `mamba_decoder.mamba` (zamba2's hybrid layers). Gated delta rules
store an `A_log` and a `dt_bias` too, but their decay is only part of the spectrum: they are told
apart by their projections.

The pole of a head is shared by its head_dim x N states and is counted once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.errors import SchemeError
from ssmspec.families.base import (
    Family,
    Found,
    LayerSite,
    LayerSource,
    Parameters,
    require_shape,
)
from ssmspec.families.catalog import Catalog, Module
from ssmspec.families.parts.diagonal import (
    read_real,
    require_dimensions,
    softplus,
    softplus_inverse,
)
from ssmspec.families.parts.gates import (
    nominal_assumption,
    real_poles_spectrum,
    real_poles_to_parameters,
    real_spectrum,
)
from ssmspec.naming import printable
from ssmspec.reading import DtTransform
from ssmspec.spectrum import LayerSpectrum

ROLES = ("A_log", "dt_bias")

GGUF = "gguf"
"""Variant: A itself, under the names of llama.cpp."""

GGUF_DELTA_RULE = frozenset({"ssm_ba", "ssm_beta_alpha", "ssm_beta", "ssm_alpha"})
"""Projections of gated delta rules under the names of llama.cpp."""

DELTA_RULE_PROJECTIONS = frozenset({
    "a_proj", "b_proj", "f_proj", "f_a_proj", "f_b_proj", "q_proj", "k_proj", "q_conv1d",
    "in_proj_a", "in_proj_b", "in_proj_ba", "in_proj_qkv", "in_proj_qkvz",
})  # fmt: skip
"""Projections of gated DeltaNet, KDA, Comba, Qwen3-Next, Qwen3.5, OLMo-hybrid and Kimi-Linear."""

LIMIT_KEYS = ("time_step_limit", "mamba_dt_limit", "dt_limit")
"""Names of the limits of dt in config.json: Hugging Face's, Nemotron's older one, mamba_ssm's."""


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules with `A_log`, `dt_bias` and what only a Mamba-2 has beside them."""
    for module in catalog.having(*ROLES):
        if is_mamba2(module):
            yield LayerSite(module.name, {role: module.leaves[role] for role in ROLES})
    for module in catalog.having("ssm_a"):
        heads, bias = module.shape("ssm_a") or (), module.tensor("ssm_dt.bias")
        per_head = len(heads) == 1 or heads[1:] == (1,)
        if per_head and bias is not None and GGUF_DELTA_RULE.isdisjoint(module.submodules):
            yield LayerSite(module.name, {"A": module.leaves["ssm_a"], "dt_bias": bias}, GGUF)


def is_mamba2(module: Module) -> bool:
    """A per-head `A_log`, no projection of a delta rule, and a fitting `D` or `in_proj`."""
    heads = module.shape("A_log") or ()
    if len(heads) != 1 or heads[0] == 0 or is_delta_rule(module):
        return False
    return _has_skip(module, heads[0]) or _has_joint_projection(module, heads[0])


def is_delta_rule(module: Module) -> bool:
    """Whether any projection beside it is one that only gated delta rules have."""
    return not DELTA_RULE_PROJECTIONS.isdisjoint(module.submodules)


def _has_skip(module: Module, heads: int) -> bool:
    shape = module.shape("D") or ()
    return len(shape) == 1 and shape[0] > 0 and shape[0] % heads == 0


def _has_joint_projection(module: Module, heads: int) -> bool:
    """`in_proj` gives [z, x, B, C, dt], and the depthwise `conv1d` runs over [x, B, C]."""
    projected, convolved = module.shape("in_proj.weight"), module.shape("conv1d.weight")
    if projected is None or convolved is None or len(projected) != 2 or len(convolved) != 3:
        return False
    gate = projected[0] - convolved[0] - heads
    return 0 < gate < convolved[0] and gate % heads == 0


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(dt A), A = -exp(A_log), at dt = clamp(softplus(dt_bias), limits)."""
    heads = _heads(source)
    require_shape(source, "dt_bias", (heads,))
    assumptions: tuple[str, ...] = (
        nominal_assumption(FAMILY.title),
        "the pole of a Mamba-2 head is shared by all states of the head and is counted once",
    )
    low, high = limits(source.checkpoint.config)
    if (low, high) != (0.0, math.inf):
        assumptions += (f"step sizes are limited to [{low:g}, {high:g}] by config.json",)
    if source.site.variant == GGUF:
        A = read_real(source, "A").reshape(-1, 1)
        return real_poles_spectrum(source, FAMILY.id, A, _dt(source), assumptions)
    A_log = read_real(source, "A_log")[:, None]
    return real_spectrum(source, FAMILY.id, A_log, _dt(source), assumptions)


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """A_log = log(decay / dt); the bias only where the step size changes.

    Returns:
        A_log (h,), or A (h, 1) for GGUF, and dt_bias (h,).
    """
    heads = _heads(source)
    A_log, dt = real_poles_to_parameters(source.name, FAMILY.title, spectrum, (heads, 1))
    tensors = source.site.tensors
    written: dict[str, Array] = {}
    if source.site.variant == GGUF:
        written[tensors["A"]] = -np.exp(A_log).reshape(source.shape("A"))
    else:
        written[tensors["A_log"]] = A_log[:, 0]
    if not np.array_equal(dt, _dt(source)):
        low, high = limits(source.checkpoint.config)
        if not ((dt >= low) & (dt <= high)).all():
            raise SchemeError(
                f"{printable(source.name)}: config.json limits step sizes to [{low:g}, {high:g}], "
                f"and [{float(dt.min()):.3g}, {float(dt.max()):.3g}] does not fit; "
                f"keep the step sizes (--dt keep)"
            )
        written[tensors["dt_bias"]] = softplus_inverse(dt)[:, 0]
    return written


def _heads(source: LayerSource) -> int:
    if source.site.variant == GGUF:
        heads = source.shape("A")[0] if source.shape("A") else 0
        if source.shape("A") != (heads,):
            require_shape(source, "A", (heads, 1))
        return heads
    return require_dimensions(source, "A_log", "heads")[0]


def limits(config: Mapping[str, Any]) -> tuple[float, float]:
    """Lowest and highest step size that config.json states; (0, inf) where it states none.

    Hugging Face's fused kernels, which trained these models, clamp to `time_step_limit`. The plain
    torch path of zamba2 and nemotron_h clamps to `time_step_min` instead and never above; that
    key is also the range of the initialization, so it is not taken for a limit here.
    """
    for table in (config, config.get("ssm_cfg"), config.get("text_config")):
        if not isinstance(table, Mapping):
            continue
        for key in LIMIT_KEYS:
            pair = table.get(key)
            if isinstance(pair, (list, tuple)) and len(pair) == 2:
                low, high = _number(pair[0], 0.0), _number(pair[1], math.inf)
                if 0.0 <= low <= high:
                    return low, high
    return 0.0, math.inf


def _number(value: object, default: float) -> float:
    """A JSON number; infinity also as a string, as `{"__float__": "Infinity"}` or as null."""
    if isinstance(value, Mapping):
        value = value.get("__float__")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return default
    try:
        return float(value)
    except (ValueError, OverflowError):
        return default


def _dt(source: LayerSource) -> Floats:
    low, high = limits(source.checkpoint.config)
    return np.clip(softplus(read_real(source, "dt_bias")), low, high)[:, None]


FAMILY = Family(
    id="mamba2",
    title="Mamba-2",
    summary="state-space duality layer of state-spaces/mamba and Hugging Face hybrids; one real "
    "pole per head, nominal step sizes",
    formula="pole_bar = exp(dt A), A = -exp(A_log), nominal dt = clamp(softplus(dt_bias), "
    "time_step_limit); shared by the head_dim x N states of a head",
    source="state-spaces/mamba e9594ce, mamba_ssm/modules/mamba2.py",
    find=find,
    read=read,
    write=write,
    dt_transforms=(DtTransform.SOFTPLUS,),
    is_complex=False,
    split={"A_log": 0, "dt_bias": 0, "D": 0},
    parameters=Parameters(decay=("A_log",), step=("dt_bias",)),
)
