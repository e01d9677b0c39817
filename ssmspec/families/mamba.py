"""Mamba-1 (S6): selective, real poles, one input-dependent step size per channel.

===================  =============  ======================================================
tensor               shape          meaning
===================  =============  ======================================================
`A_log`              (H, N)         A = -exp(A_log), H = d_inner channels, N states
`dt_proj.bias`       (H,)           dt = softplus(dt_proj(x) + bias); nominal softplus(bias)
`A_b_log`            (H, N)         Vim: the backward direction's A
`dt_proj_b.bias`     (H,)           Vim v2: the backward direction's own step sizes
`Dense_2.bias`       (H,)           flax auto-names: dt = softplus(.) + 1e-4
`log_A`              (H, N)         a port's name for `A_log`
`W_delta.bias`, ...  (H,)           ports' names for `dt_proj.bias` (`SPELLED`)
`ssm_a`              (H, N)         GGUF: A itself
`ssm_dt.bias`        (H,)           GGUF: `dt_proj.bias`
`A_log`              (h, d, N)      Zamba: h heads of d channels, H = h d
`dt_proj_bias`       (h, d)         Zamba: names with underscores, one projection a head
===================  =============  ======================================================

The names hold for mamba_ssm, Hugging Face mamba, falcon_mamba and jamba (whose extra norms on dt
stand before the projection and leave softplus(bias) as it is), Caduceus, fla and Vim. Vim v1 has
only `A_b_log`: both directions share `dt_proj`. Where the file is flax's, a block's Dense layers
are numbered in order of use: 1 is x_proj, 2 is dt_proj.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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

FLAX_DT_FLOOR = 1e-4
"""Added to softplus(.) by the flax implementation (typeseg 0.2.7, `_mamba_kernel.py`)."""

BACKWARD = " (backward)"
"""Ends the name of the second direction's layer, whose parameters stand in the same module."""

SHARED_DT = "shared dt"
"""Variant: two directions share one step size, so neither can change it alone."""
FLAX = "flax"
"""Variant: auto-named flax layers."""
GGUF = "gguf"
"""Variant: A itself, under the names of llama.cpp."""
SPELLED_OTHERWISE = "other names"
"""Variant: a port's names, told by their shapes."""
HEADS = "heads"
"""Variant: channels in heads, each with its own projections (Zamba)."""


SPELLED = (
    "dt_proj.bias", "W_delta.bias", "W_dt.bias", "delta_proj.bias", "dt_projection.bias",
    "delta_projection.bias", "proj_dt.bias", "proj_delta.bias", "delta_upscale.bias", "dt.bias",
)  # fmt: skip
"""What ports call the bias of the step size's projection."""

BY_SHAPE = (
    "Mamba-1 is known here by the shapes of {names}: A is taken as -exp of the first and dt as "
    "softplus of the second"
)


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules with `A_log` and the bias of its dt projection, and their second direction."""
    yield from _find_spelled(catalog)
    for module in catalog.having("ssm_a"):
        shape = module.shape("ssm_a") or ()
        if len(shape) == 2 and shape[1] > 1 and module.has("ssm_dt.bias", "ssm_x.weight"):
            names = {"A": module.leaves["ssm_a"], "dt_bias": module.tensor("ssm_dt.bias")}
            yield LayerSite(module.name, {r: name for r, name in names.items() if name}, GGUF)
    for module in catalog.having("A_log"):
        dimensions = len(module.shape("A_log") or ())
        if dimensions == 3 and module.has("dt_proj_bias"):
            yield _site(module, module.name, "A_log", "dt_proj_bias", HEADS)
        if dimensions != 2:
            continue
        if module.has("dt_proj.bias"):
            yield from _directions(module)
        elif _is_flax(module):
            yield _site(module, module.name, "A_log", "Dense_2.bias", FLAX)


def _find_spelled(catalog: Catalog) -> Iterator[LayerSite]:
    """Modules whose A or step size goes by a port's name, where the shapes fit together."""
    for module in catalog.having_any(("A_log", "log_A")):
        A_log = "A_log" if "A_log" in module.leaves else "log_A"
        shape = module.shape(A_log) or ()
        biases = SPELLED if A_log == "log_A" else SPELLED[1:]
        bias = next((name for name in biases if module.shape(name) == shape[:1]), None)
        if len(shape) == 2 and bias is not None and not module.has("dt_proj.bias", "A_log"):
            yield _site(module, module.name, A_log, bias, SPELLED_OTHERWISE)


def _directions(module: Module) -> Iterator[LayerSite]:
    backward = module.name + BACKWARD
    if not module.has("A_b_log"):
        yield _site(module, module.name, "A_log", "dt_proj.bias")
    elif module.has("dt_proj_b.bias"):
        yield _site(module, module.name, "A_log", "dt_proj.bias")
        yield _site(module, backward, "A_b_log", "dt_proj_b.bias")
    else:
        yield _site(module, module.name, "A_log", "dt_proj.bias", SHARED_DT)
        yield _site(module, backward, "A_b_log", "dt_proj.bias", SHARED_DT)


def _is_flax(module: Module) -> bool:
    """Dense_2 projects R numbers to H, and Dense_1 gives those R and the N of B and of C."""
    kernel, projected = module.shape("Dense_2.kernel"), module.shape("Dense_1.kernel")
    if kernel is None or projected is None or not module.has("Dense_2.bias"):
        return False
    channels, states = module.shape("A_log") or (0, 0)
    return len(kernel) == 2 and kernel[1] == channels and projected[1:] == (kernel[0] + 2 * states,)


def _site(module: Module, name: str, A_log: str, dt_bias: str, variant: str = "") -> LayerSite:
    names = {"A_log": module.tensor(A_log), "dt_bias": module.tensor(dt_bias)}
    return LayerSite(name, {role: found for role, found in names.items() if found}, variant)


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(dt A), A = -exp(A_log), at dt = softplus(bias)."""
    shape = _shape(source)
    assumptions: tuple[str, ...] = (nominal_assumption(FAMILY.title),)
    if source.site.variant == FLAX:
        assumptions += (
            "auto-named flax layers: Dense_2 is taken as the step-size projection and "
            f"dt as softplus(.) + {FLAX_DT_FLOOR:g}",
        )
    if source.site.variant == SPELLED_OTHERWISE:
        names = " and ".join(
            printable(name.removeprefix(f"{source.name}.")) for name in source.site.tensors.values()
        )
        assumptions += (BY_SHAPE.format(names=names),)
    if source.site.variant == GGUF:
        A = read_real(source, "A")
        return real_poles_spectrum(source, FAMILY.id, A, _dt(source), assumptions)
    A_log = read_real(source, "A_log").reshape(shape)
    return real_spectrum(source, FAMILY.id, A_log, _dt(source), assumptions)


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """A_log = log(decay / dt); the bias only where the step size changes.

    Returns:
        A_log (H, N) and dt_proj.bias (H,), or (h, d, N) and (h, d), as stored; A for GGUF.
    """
    A_log, dt = real_poles_to_parameters(source.name, FAMILY.title, spectrum, _shape(source))
    tensors = source.site.tensors
    written: dict[str, Array] = {}
    if source.site.variant == GGUF:
        written[tensors["A"]] = -np.exp(A_log)
    else:
        written[tensors["A_log"]] = A_log.reshape(source.shape("A_log"))
    if not np.array_equal(dt, _dt(source)):
        bias = _dt_to_bias(source, dt).reshape(source.shape("dt_bias"))
        written[tensors["dt_bias"]] = bias
    return written


def _dt(source: LayerSource) -> Floats:
    floor = FLAX_DT_FLOOR if source.site.variant == FLAX else 0.0
    return softplus(read_real(source, "dt_bias")).reshape(-1, 1) + floor


def _dt_to_bias(source: LayerSource, dt: Floats) -> Floats:
    name = printable(source.name)
    if source.site.variant == SHARED_DT:
        raise SchemeError(
            f"{name}: both directions of this layer share one step size per channel; "
            f"keep the step sizes (--dt keep)"
        )
    if source.site.variant == FLAX and not (dt > FLAX_DT_FLOOR).all():
        raise SchemeError(
            f"{name}: this layer computes dt = softplus(.) + {FLAX_DT_FLOOR:g} and cannot hold "
            f"a step size of {float(dt.min()):.3g}; use step sizes above {FLAX_DT_FLOOR:g}"
        )
    return softplus_inverse(dt - FLAX_DT_FLOOR if source.site.variant == FLAX else dt)[:, 0]


def _shape(source: LayerSource) -> tuple[int, int]:
    """(H, N), with one bias for each of H channels."""
    if source.site.variant == HEADS:
        heads, width, states = require_dimensions(source, "A_log", "heads", "head_dim", "N")
        require_shape(source, "dt_bias", (heads, width))
        return heads * width, states
    role = "A" if source.site.variant == GGUF else "A_log"
    channels, states = require_dimensions(source, role, "d_inner", "N")
    require_shape(source, "dt_bias", (channels,))
    return channels, states


FAMILY = Family(
    id="mamba",
    title="Mamba-1",
    summary="selective SSM of state-spaces/mamba and its ports; real poles, nominal step sizes",
    formula="pole_bar = exp(dt A), A = -exp(A_log), nominal dt = softplus(dt_proj.bias)",
    source="state-spaces/mamba e9594ce, mamba_ssm/modules/mamba_simple.py; hustvl/Vim dd0358a; "
    "transformers 5.23, modeling_zamba.py",
    find=find,
    read=read,
    write=write,
    known_inits=("s4d-real",),
    dt_transforms=(DtTransform.SOFTPLUS,),
    is_complex=False,
    split={
        "A_log": 0,
        "D": 0,
        "dt_proj.weight": 0,
        "dt_proj.bias": 0,
        "x_proj.weight": 1,
        "conv1d.weight": 0,
        "conv1d.bias": 0,
    },
    parameters=Parameters(decay=("A_log",), step=("dt_bias",)),
)
