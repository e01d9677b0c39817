"""The tensors of a checkpoint as modules: dotted paths, and the leaf names below each.

Containers separate path components with `.` (torch), `/` (flax, TensorFlow) or `__` (flax trees
saved as npz). A catalog splits names once, so that families see one tree whatever the container.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from ssmspec.checkpoints.base import Checkpoint, TensorInfo
from ssmspec.naming import natural_key

ROOT = "(root)"
"""The name of a layer whose parameters stand at the top of the file, without a module path."""

OPTIMIZER_PARTS = frozenset({
    "optimizer", "optimizers", "optimizer_state", "optimizer_states", "optimizer_state_dict",
    "optimizer_dict", "optim", "optim_state", "optim_state_dict", "opt", "opt_state", "opt_states",
    "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "mu", "nu",
    "lr_scheduler", "lr_schedulers", "scheduler", "scheduler_state_dict", "grad_scaler",
})  # fmt: skip
"""Path components below which tensors are an optimizer's copies, never a model's parameters."""


class Catalog:
    """An index of a checkpoint's tensors by module.

    Attributes:
        checkpoint: what is indexed.
        modules: module path -> leaf name -> tensor name; paths in natural order, leaves in file
            order, optimizer state left out. The path of top-level tensors is "".
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        separator = _separator(checkpoint.tensors)
        modules: dict[str, dict[str, str]] = {}
        self.optimizer_tensors = 0
        for name in checkpoint.tensors:
            parts = name.split(separator) if separator else [name]
            if not OPTIMIZER_PARTS.isdisjoint(part.lower() for part in parts):
                self.optimizer_tensors += 1
                continue
            modules.setdefault(".".join(parts[:-1]), {})[parts[-1]] = name
        self.modules: Mapping[str, Mapping[str, str]] = dict(
            sorted(modules.items(), key=lambda item: natural_key(item[0]))
        )

    def __iter__(self) -> Iterator[Module]:
        for path in self.modules:
            yield Module(self, path)

    def module(self, path: str) -> Module:
        """The module at a dotted path; it may hold no tensors of its own."""
        return Module(self, path)

    @cached_property
    def children(self) -> Mapping[str, frozenset[str]]:
        """Module path -> names of its direct submodules, ancestors without tensors included."""
        found: dict[str, set[str]] = {}
        for module in self.modules:
            path = module
            while path:
                parent, _, child = path.rpartition(".")
                siblings = found.setdefault(parent, set())
                if child in siblings:
                    break
                siblings.add(child)
                path = parent
        return {path: frozenset(names) for path, names in found.items()}


class Module:
    """One dotted path of a catalog, and the tensors at and below it."""

    def __init__(self, catalog: Catalog, path: str) -> None:
        self.catalog = catalog
        self.path = path

    @property
    def name(self) -> str:
        """The path as a layer's name."""
        return self.path or ROOT

    @property
    def leaves(self) -> Mapping[str, str]:
        """Leaf name -> tensor name, for tensors directly in this module."""
        return self.catalog.modules.get(self.path, {})

    @property
    def submodules(self) -> frozenset[str]:
        """Names of the direct submodules."""
        return self.catalog.children.get(self.path, frozenset())

    @property
    def parent(self) -> Module:
        """The enclosing module; the top is its own parent."""
        return Module(self.catalog, self.path.rpartition(".")[0])

    def has(self, *relative: str) -> bool:
        """Whether every one of these relative dotted names is a tensor."""
        return all(self.tensor(name) is not None for name in relative)

    def tensor(self, relative: str) -> str | None:
        """Full name of the tensor at a relative dotted name such as `dt_proj.bias`, or None."""
        below, _, leaf = relative.rpartition(".")
        path = ".".join(part for part in (self.path, below) if part)
        return self.catalog.modules.get(path, {}).get(leaf)

    def info(self, relative: str) -> TensorInfo | None:
        """Dtype and shape of the tensor at a relative dotted name, or None."""
        name = self.tensor(relative)
        return None if name is None else self.catalog.checkpoint.tensors[name]

    def shape(self, relative: str) -> tuple[int, ...] | None:
        """Shape of the tensor at a relative dotted name, or None."""
        info = self.info(relative)
        return None if info is None else info.shape


def _separator(names: Mapping[str, TensorInfo]) -> str:
    """The separator this checkpoint uses: the first of `.`, `/`, `__` that any name contains."""
    for separator in (".", "/", "__"):
        if any(separator in name for name in names):
            return separator
    return ""
