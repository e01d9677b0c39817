"""State-space layers under names that no record knows, told by words in a name and by shapes.

A tensor whose name speaks of the logarithm of A, a dense A beside its B and C, a decay for every
channel: each has the shape of a recurrence. What a family measures is dropped by the caller; the
rest is listed with the names that a `--map` page would use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ssmspec.families.catalog import Catalog, Module
from ssmspec.naming import natural_key, printable
from ssmspec.outcome import Skipped

_LOGARITHM_OF_A = re.compile(
    r"(?:^|_)(?:log|ln)(?:_[a-z]+)*_?(?:A[A-Z]?|Lambda)(?:_|$)|(?:^|_)(?:A[A-Z]?|Lambda)_?(?:log|ln)"
)
"""`log_A`, `log_minus_A`, `A_log`, `AT_log`, `logA`, `Lambda_log_neg_re`."""

_STATE = re.compile(r"(?:^|_)(?:A|A[A-Z]|Lambda|lambda)(?:_|$)|^ssm_a$|^a_log$|^a_param$")

DECAYS = frozenset({
    "decay", "decays", "log_decay", "decay_log", "decay_logit", "decay_logits", "decay_rate",
    "log_decay_rate", "decay_bias", "slope_rate", "retention", "forget_bias",
})  # fmt: skip
"""Names of a decay for every channel or head."""

_STEP = re.compile(r"(?:^|[._])(?:dt|delta|step|timescale)")

UNKNOWN = "not in a layout that is known"
DENSE = (
    "a dense state matrix beside B and C, whose poles are its eigenvalues: not measured (write the "
    "eigenvalues into a tensor of their own, and --map describes them by name)"
)
DECAY = (
    "a decay of each channel under a name that does not say how it is stored (--map describes it "
    "by name, as decay or as radius)"
)


def is_state_name(leaf: str) -> bool:
    """Whether a tensor's name speaks of a state matrix."""
    return _STATE.search(leaf) is not None or _LOGARITHM_OF_A.search(leaf) is not None


def find(catalog: Catalog) -> Iterator[Skipped]:
    """Modules with the shape of a recurrence under unknown names."""
    logs = [leaf for leaf in catalog.leaf_names if _LOGARITHM_OF_A.search(leaf)]
    for module in catalog.having_any(logs):
        held = [leaf for leaf in module.leaves if leaf in logs and _ndim(module, leaf) > 0]
        if held:
            yield Skipped(module.name, _renamed(module, held))
    for module in catalog.having_any(DECAYS):
        held = [leaf for leaf in module.leaves if leaf in DECAYS and _size(module, leaf) > 1]
        if held:
            yield Skipped(module.name, f"{printable(held[0])}: {DECAY}")
    for module in (*catalog.having("A"), *catalog.at_end_of(("A",), "weight")):
        found = module if "A" in module.leaves else _around(module)
        if found is not None and _is_dense(found):
            yield Skipped(found.name, f"A, B, C: {DENSE}")


def _renamed(module: Module, held: list[str]) -> str:
    names = " and ".join(printable(leaf) for leaf in sorted(held, key=natural_key))
    channels = (module.shape(held[0]) or ())[:1]
    steps = [
        printable(name)
        for name in _inner_biases(module)
        if module.shape(name) == channels and _STEP.search(name)
    ]
    beside = f" beside the step size {steps[0]}" if steps else ""
    verb = "describes them" if len(held) > 1 else "describes it"
    return f"{names}{beside}: {UNKNOWN} (--map {verb} by name: A = -exp of it, for one)"


def _inner_biases(module: Module) -> Iterator[str]:
    yield from (leaf for leaf in module.leaves if leaf.endswith("bias"))
    yield from (f"{child}.bias" for child in sorted(module.submodules))


def _around(module: Module) -> Module | None:
    """The module that holds linear maps A, B and C, seen from its A."""
    return module.parent if module.path.rpartition(".")[2] == "A" else None


def _is_dense(module: Module) -> bool:
    A, B, C = (module.shape(name) or module.shape(f"{name}.weight") or () for name in "ABC")
    if not len(A) == len(B) == len(C) == 2 or A[0] != A[1] or A[0] < 2:
        return False
    return B[0] == A[0] and C[1] == A[0]


def _ndim(module: Module, leaf: str) -> int:
    return len(module.shape(leaf) or ())


def _size(module: Module, leaf: str) -> int:
    info = module.info(leaf)
    return 0 if info is None else info.size
