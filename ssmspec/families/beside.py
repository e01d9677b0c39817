"""What stands in a layer's module and is not read: it may change what the numbers say.

A floor under the step size, a cap on it or a learned bandwidth moves poles without being one of the
parameters a family knows. So every tensor directly in the module that is neither read nor ordinary
is named in an assumption, and so are adapters that were not merged.
"""

from __future__ import annotations

from collections.abc import Container

from ssmspec.families.base import LayerSite
from ssmspec.families.catalog import Catalog, bare_path
from ssmspec.naming import natural_key, printable

ORDINARY = frozenset({
    "A", "B", "BH", "BP", "C", "C1", "C2", "CH", "CP", "D", "D1", "D2", "D_b", "D_skip", "Ds", "E",
    "P", "Q", "W", "WB", "WC", "Win", "Wo", "Wx", "Wdelta", "bB", "bC", "bo", "bx", "bias",
    "weight", "kernel", "scale", "gamma", "gamma_log", "unit_energy", "residues", "h0", "skip",
    "L", "l_kernel", "omega", "z", "nodes", "step_rescale", "num_batches_tracked",
    "x_proj_weight", "dt_proj_weight", "dt_projs_weight", "x_proj", "dt_proj", "in_proj",
    "a0", "a1", "a2", "v0", "v1", "v2", "g1", "g2", "w1", "w2", "k_k", "k_a", "r_k", "x_r", "x_w",
    "x_k", "x_v", "x_a", "x_g", "bonus", "time_first", "time_faaaa", "time_decay_w1",
    "time_decay_w2", "recurrent_gate_weight", "input_gate_weight", "input_gate_bias",
    "short_filter_weight", "short_filter_bias", "mix_x", "mix_k", "mix_r", "mix_v", "mix_w",
})  # fmt: skip
"""Tensors beside the poles that families know and that move no pole."""

_ORDINARY_STARTS = (
    "time_mix", "time_maa", "in_proj", "out_proj", "conv1d", "norm", "x_proj", "qkvz", "C_", "B_",
    "W_", "act", "input_gate", "output", "short_", "lora_", "D_", "ssm_",
)  # fmt: skip

SHOWN = 6
"""Names in one sentence."""


def notes(site: LayerSite, catalog: Catalog, read: Container[str]) -> tuple[str, ...]:
    """Sentences about one layer.

    Args:
        site: the layer.
        catalog: the checkpoint's modules.
        read: the tensors that any layer reads.
    """
    path = bare_path(site.name.partition(" (")[0])
    told: list[str] = []
    unread = _unread(catalog, path, read)
    if unread:
        shown = ", ".join(printable(name) for name in unread[:SHOWN])
        more = f" and {len(unread) - SHOWN} more" if len(unread) > SHOWN else ""
        told.append(
            f"stored in the layers' own modules, not read and not in the numbers: {shown}{more}"
        )
    if any(below(adapter, path) for adapter in catalog.adapters):
        told.append("the layers carry adapters that are not merged: the base weights are measured")
    return tuple(told)


def below(path: str, outer: str) -> bool:
    """Whether a module lies at or below another."""
    return not outer or f"{path}.".startswith(f"{outer}.")


def _unread(catalog: Catalog, path: str, read: Container[str]) -> list[str]:
    if not path:  # the top of a file holds everything
        return []
    names = (
        leaf
        for leaf, name in catalog.leaves(path).items()
        if name not in read and leaf not in ORDINARY and not leaf.startswith(_ORDINARY_STARTS)
    )
    return sorted(names, key=natural_key)
