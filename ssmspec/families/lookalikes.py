"""What looks like a state-space layer and is not measured, by name and with the reason.

Nothing that carries the signature of a known recurrence is passed over in silence: a report lists
it under `skipped`. A signature is a set of tensor names that stand directly in one module, and
where names alone would also fit ordinary layers, a test of shapes or of neighbors. Records are
tried in order; the first that fits names the module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ssmspec.families import s4d_v4, shapes
from ssmspec.families.catalog import Catalog, Module
from ssmspec.naming import printable
from ssmspec.outcome import Skipped

LATER = "not measured yet"
NO_DT_BIAS = "its step-size projection has no bias, so there is no nominal step size"
NO_STATE = (
    "no state matrix stands beside it, so its poles depend on the input alone or A was not saved "
    "(--map describes what is stored, by name)"
)
NO_GATE_BIAS = "the bias of its gate is not beside it, so there is no nominal decay"


def _always(_: Module) -> bool:
    return True


@dataclass(frozen=True)
class Lookalike:
    """A layout that is recognized and not measured.

    Attributes:
        id: family id, or a short name where there is none.
        title: name for people.
        reason: one clause: why it is not measured.
        leaves: tensors that stand directly in the module, all of them.
        also: what else must hold.
        component: where set, the last component of the module's path; the layer is the module
            above it, because the signature is a submodule.
    """

    id: str
    title: str
    reason: str
    leaves: tuple[str, ...]
    also: Callable[[Module], bool] = _always
    component: str | None = None

    def fits(self, module: Module) -> bool:
        """Whether this module carries the signature."""
        if self.component is not None and module.path.rpartition(".")[2] != self.component:
            return False
        return all(leaf in module.leaves for leaf in self.leaves) and self.also(module)


def find(catalog: Catalog) -> Iterator[Skipped]:
    """Modules that carry a known signature of a family that is not (yet) measured.

    Modules that a family measures may be among them; the caller drops those by name.
    """
    yield from shapes.find(catalog)
    inner = catalog.at_end_of(COMPONENTS, INNER)
    for module in (*catalog.having_any(leaf for leaf in RANKS if leaf != INNER), *inner):
        ranks = sorted({rank for leaf in module.leaves for rank in RANKS.get(leaf, ())})
        record = next((LOOKALIKES[rank] for rank in ranks if LOOKALIKES[rank].fits(module)), None)
        if record is not None:
            layer = module.parent if record.component is not None else module
            yield Skipped(layer.name, f"{record.title}: {record.reason}")


def _any_leaf(*names: str) -> Callable[[Module], bool]:
    return lambda module: any(name in module.leaves for name in names)


def _ends_with(*suffixes: str) -> Callable[[Module], bool]:
    return lambda module: f".{module.path}".endswith(tuple(f".{suffix}" for suffix in suffixes))


def _unknown_state(module: Module) -> bool:
    """A state matrix that no family claims under another name."""
    return _any_leaf(*STATE_MATRICES)(module) and not s4d_v4.is_second_name(module)


def _ndim(module: Module, leaf: str) -> int:
    return len(module.shape(leaf) or ())


def _same_matrices(*leaves: str) -> Callable[[Module], bool]:
    def same(module: Module) -> bool:
        shapes = {module.shape(leaf) for leaf in leaves}
        return len(shapes) == 1 and _ndim(module, leaves[0]) == 2

    return same


def _projects_dt_without_bias(module: Module) -> bool:
    projected = "dt_proj" in module.leaves or "dt_proj" in module.submodules
    return projected and _ndim(module, "A_log") == 2 and not module.has("dt_proj.bias")


def _is_selective_tf(module: Module) -> bool:
    return "delta_t_projection" in module.submodules


def _parent_is(component: str) -> Callable[[Module], bool]:
    return lambda module: module.parent.path.rpartition(".")[2] == component


def _beside(component: str) -> Callable[[Module], bool]:
    return lambda module: component in module.parent.submodules


def _has_no_state(module: Module) -> bool:
    return not any(shapes.is_state_name(leaf) for leaf in module.parent.leaves)


STATE_MATRICES = (
    "A", "A_log", "A_real", "A_imag", "A_re", "A_im", "log_A_real", "log_A", "inv_A_real", "Lambda",
    "Lambda_re", "Lambda_im", "Lambda_real", "Lambda_imag", "lambda_re", "lambda_im", "w", "poles",
)  # fmt: skip
"""Names a state matrix goes by; only together with a step size are they taken for one."""

LOOKALIKES: tuple[Lookalike, ...] = (
    Lookalike("centaurus", "Centaurus", LATER, ("log_delta", "A", "E")),
    Lookalike(
        "s7",
        "S7",
        f"its poles depend on the input, {LATER}",
        ("base_params",),
        lambda module: "x_proj" in module.submodules,
    ),
    Lookalike("vmamba-no-dt-bias", "VMamba", NO_DT_BIAS, ("A_logs", "Ds")),
    Lookalike("s6-tf", "Mamba-1 in TensorFlow", LATER, ("A_log",), _is_selective_tf),
    Lookalike("mamba-no-dt-bias", "Mamba-1", NO_DT_BIAS, ("A_log",), _projects_dt_without_bias),
    Lookalike(
        "mamba2-unproven",
        "like Mamba-2",
        "A_log and dt_bias stand alone, without the in_proj, conv1d or D of a Mamba-2",
        ("A_log", "dt_bias"),
    ),
    Lookalike(
        "mamba3",
        "Mamba-3",
        "its poles are computed from the input and are not in the file, "
        "so they are not recoverable without data",
        ("dt_bias", "B_bias", "C_bias"),
    ),
    Lookalike("rg-lru-no-bias", "RG-LRU", NO_GATE_BIAS, ("recurrent_param",)),
    Lookalike("rg-lru-no-bias", "RG-LRU in JAX", NO_GATE_BIAS, ("a_param",), _ends_with("rg_lru")),
    Lookalike("rg-lru-no-bias", "RG-LRU of lrnnx", NO_GATE_BIAS, ("a_log",)),
    Lookalike(
        "l2ru", "L2RU", f"its poles depend on the input, {LATER}", ("alpha_log", "delta_bias")
    ),
    Lookalike("mega", "Mega (moving average)", LATER, ("alpha", "delta", "beta", "gamma", "omega")),
    Lookalike(
        "megalodon",
        "Megalodon (complex moving average)",
        LATER,
        ("alpha", "delta", "theta", "gamma", "omega"),
    ),
    Lookalike(
        "h3-shift",
        "H3 shift SSM",
        "a finite response, all of its poles are 0",
        ("B", "C"),
        _ends_with("ssm_k_kernel", "ssm_k_kernel.kernel"),
    ),
    Lookalike(
        "hyena",
        "Hyena filter",
        "an implicit filter has an envelope and no poles",
        ("deltas",),
        _ends_with("modulation"),
    ),
    Lookalike(
        "spacetime",
        "SpaceTime",
        f"the poles are roots of a companion matrix, {LATER}",
        ("a", "b", "c"),
        _same_matrices("a", "b", "c"),
    ),
    Lookalike(
        "xlstm",
        "xLSTM",
        "its forget gate depends on the input and stores no poles",
        ("bias",),
        component="fgate_preact",
    ),
    Lookalike(
        "xlstm",
        "xLSTM",
        "its forget gate depends on the input and stores no poles",
        ("bias",),
        _parent_is("mlstm_cell"),
        component="fgate",
    ),
    Lookalike(
        "xlstm",
        "xLSTM",
        "its forget gate depends on the input and stores no poles",
        ("bias",),
        _beside("igate"),
        component="fgate",
    ),
    Lookalike(
        "mamba-no-a",
        "a step size without A",
        NO_STATE,
        ("bias",),
        _has_no_state,
        component="dt_proj",
    ),
    Lookalike(
        "gguf",
        "ssm_a",
        "A under the name of llama.cpp, in a layer that is not known (--map describes it by name: "
        "ssm_a is A itself)",
        ("ssm_a",),
    ),
    Lookalike(
        "unknown", "A_log", "not in a layout that is known (--map describes one)", ("A_log",)
    ),
    *(
        Lookalike(
            "unknown",
            f"{step} beside a state matrix",
            "not in a layout that is known (--map describes one)",
            (step,),
            _unknown_state,
        )
        for step in ("log_dt", "inv_dt", "log_step", "log_delta")
    ),
)

COMPONENTS = tuple(sorted({item.component for item in LOOKALIKES if item.component is not None}))
INNER = "bias"
"""The tensor by which a signature in a submodule is known; too common to ask every holder of it."""

RANKS: dict[str, tuple[int, ...]] = {
    leaf: tuple(rank for rank, item in enumerate(LOOKALIKES) if item.leaves[0] == leaf)
    for leaf in {item.leaves[0] for item in LOOKALIKES}
}
"""Places in the table by the first tensor of the signature: most modules hold none of these."""


def describe(catalog: Catalog) -> str:
    """A short phrase of what a checkpoint without state-space layers holds instead.

    For example `40 tensors such as 'encoder.in_proj_weight' (float32, 2,304 x 768), as in
    attention`. The example is the largest tensor; a kind of layer is named only where its tensors
    leave no doubt.
    """
    names = [name for leaves in catalog.modules.values() for name in leaves.values()]
    optimizer = f"{_count(catalog.optimizer_tensors)} of optimizer state"
    if not names:
        return f"only {optimizer}" if catalog.optimizer_tensors else "no tensors"
    largest = max((catalog.checkpoint.info(name) for name in names), key=lambda info: info.size)
    shape = " x ".join(f"{size:,}" for size in largest.shape) or "a scalar"
    text = f"{_count(len(names))} such as '{printable(largest.name)}' ({largest.dtype}, {shape})"
    kinds = sorted({kind for module in catalog if (kind := _kind(module)) is not None})
    if kinds:
        text += f", as in {' and '.join(kinds)}"
    return f"{text}, and {optimizer}" if catalog.optimizer_tensors else text


def _count(number: int) -> str:
    return "1 tensor" if number == 1 else f"{number:,} tensors"


def _kind(module: Module) -> str | None:
    recurrent = module.shape("weight_hh_l0")
    if recurrent is not None and len(recurrent) == 2:
        gates = {4: "LSTM", 3: "GRU", 1: "RNN"}
        return gates.get(recurrent[0] // max(recurrent[1], 1))
    if "in_proj_weight" in module.leaves or any(
        module.submodules.issuperset(names)
        for names in (("q_proj", "k_proj", "v_proj"), ("query", "key", "value"))
    ):
        return "attention"
    if any(_ndim(module, leaf) == 4 for leaf in ("weight", "kernel")):
        return "convolutions"
    return None
