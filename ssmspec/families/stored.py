"""Layers whose names are right and whose numbers are not there: placeholders, quantized codes.

Both would otherwise be read as values: an array without elements, or the integers that a quantizer
keeps beside a scale.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from ssmspec.checkpoints.base import TensorInfo
from ssmspec.families.base import LayerSite
from ssmspec.families.catalog import Catalog
from ssmspec.naming import natural_key, printable
from ssmspec.outcome import Skipped

GATHER = (
    "has 0 elements: sharded weights that were saved without gathering them; gather the whole "
    "state dict (FSDP: FULL_STATE_DICT, DeepSpeed: zero_to_fp32.py) and save it again"
)

STATE_NAMES = frozenset({
    "A_log", "A_logs", "log_A", "A_real", "log_A_real", "inv_A_real", "inv_w_real", "log_w_real",
    "Lambda", "Lambda_re", "Lambda_log_neg_re", "nu_log", "time_decay", "recurrent_param", "poles",
    "log_poles", "w", "w0", "a_param", "a_log", "log_xi", "ssm_a", "dt_bias", "log_dt", "inv_dt",
})  # fmt: skip
"""Names that only state-space layers use; met without elements, they say what the module was."""

SCALES = ("{}_scale", "{}_scales", "{}.scale", "{}_scale_inv", "{}_absmax", "{}.SCB")
"""How quantizers name the factors beside a tensor; `A_scale` stands for `A_log_scale`, too."""


def modules_without_numbers(catalog: Catalog) -> Iterator[Skipped]:
    """Modules with a state-space parameter that has no elements or is a quantizer's."""
    for module in catalog.having_any(STATE_NAMES):
        names = [name for leaf, name in module.leaves.items() if leaf in STATE_NAMES]
        if reason := _reason(names, catalog):
            yield Skipped(module.name, f"like a state-space layer, but {reason}")


def unusable(site: LayerSite, title: str, catalog: Catalog) -> Skipped | None:
    """Why a layer that was found cannot be read as numbers, or None."""
    reason = _reason(site.tensors.values(), catalog)
    return Skipped(site.name, f"like {title}, but {reason}") if reason else None


def _reason(names: Iterable[str], catalog: Catalog) -> str | None:
    tensors = catalog.checkpoint.tensors
    for name in names:
        info = tensors[name]
        if info.shape[:1] == (0,) and _leaf(name) in STATE_NAMES:
            return f"{_leaf(name)} {GATHER}"
        if _is_code(info, tensors):
            return _quantized(info, tensors)
    return None


def _leaf(name: str) -> str:
    return printable(re.split(r"[./]|__", name)[-1])


def _is_code(info: TensorInfo, tensors: Mapping[str, TensorInfo]) -> bool:
    """Eight-bit integers, or eight-bit floats with a factor beside them."""
    if info.dtype in ("int8", "uint8") and info.size > 1:  # a single one is a flag
        return True
    return info.dtype.startswith("float8") and _scale_of(info.name, tensors) is not None


def _quantized(info: TensorInfo, tensors: Mapping[str, TensorInfo]) -> str:
    scale = _scale_of(info.name, tensors)
    beside = "without a scale" if scale is None else f"with {_leaf(scale)} beside it"
    return (
        f"{_leaf(info.name)} is quantized ({info.dtype} {beside}); measure the model it came from"
    )


def _scale_of(name: str, tensors: Mapping[str, TensorInfo]) -> str | None:
    bases = (name, name.removesuffix("_log"), name.removesuffix(".weight"))
    candidates = [form.format(base) for base in bases for form in SCALES]
    return next((each for each in sorted(candidates, key=natural_key) if each in tensors), None)
