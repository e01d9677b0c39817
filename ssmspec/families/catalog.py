"""The tensors of a checkpoint as modules: dotted paths, and the leaf names below each.

Containers separate path components with `.` (torch), `/` (flax, TensorFlow) or `__` (flax trees
saved as npz). A catalog splits names once, so that families see one tree whatever the container.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
        optimizer_tensors: how many tensors of optimizer state were left out.

    Module paths come in natural order, leaves in file order. The path of top-level tensors is "".
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.optimizer_tensors = 0
        self._leaves: dict[str, dict[str, str]] = {}
        self._holders: dict[str, list[str]] = {}
        separator = _separator(checkpoint.tensors)
        known: dict[str, bool] = {}
        for name in checkpoint.tensors:
            dotted = name.replace(separator, ".") if separator in ("/", "__") else name
            path, _, leaf = dotted.rpartition(".")
            if path not in known:
                known[path] = not OPTIMIZER_PARTS.isdisjoint(path.lower().split("."))
            if known[path] or leaf.lower() in OPTIMIZER_PARTS:
                self.optimizer_tensors += 1
                continue
            leaves = self._leaves.setdefault(path, {})
            if leaf not in leaves:
                self._holders.setdefault(leaf, []).append(path)
            leaves[leaf] = name

    @cached_property
    def modules(self) -> Mapping[str, Mapping[str, str]]:
        """Module path -> leaf name -> tensor name."""
        return {path: self._leaves[path] for path in sorted(self._leaves, key=natural_key)}

    def __iter__(self) -> Iterator[Module]:
        for path in self.modules:
            yield Module(self, path)

    def having(self, *leaves: str) -> list[Module]:
        """The modules that hold all of these tensors directly, in natural order of their paths."""
        holders = min((self._holders.get(leaf, []) for leaf in leaves), key=len)
        held = [path for path in holders if all(leaf in self._leaves[path] for leaf in leaves)]
        return [Module(self, path) for path in sorted(held, key=natural_key)]

    def having_any(self, leaves: Iterable[str]) -> list[Module]:
        """The modules that hold one of these tensors directly, in natural order of their paths."""
        held = {path for leaf in leaves for path in self._holders.get(leaf, ())}
        return [Module(self, path) for path in sorted(held, key=natural_key)]

    def leaves(self, path: str) -> Mapping[str, str]:
        """Leaf name -> tensor name, for the tensors directly in the module at a dotted path."""
        return self._leaves.get(path, {})

    def module(self, path: str) -> Module:
        """The module at a dotted path; it may hold no tensors of its own."""
        return Module(self, path)

    @cached_property
    def children(self) -> Mapping[str, set[str]]:
        """Module path -> names of its direct submodules, ancestors without tensors included."""
        found: dict[str, set[str]] = {}
        for module in self._leaves:
            path = module
            while path:
                parent, _, child = path.rpartition(".")
                siblings = found.setdefault(parent, set())
                if child in siblings:
                    break
                siblings.add(child)
                path = parent
        return found


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
        return self.catalog.leaves(self.path)

    @property
    def submodules(self) -> frozenset[str]:
        """Names of the direct submodules."""
        return frozenset(self.catalog.children.get(self.path, ()))

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
        path = f"{self.path}.{below}" if self.path and below else self.path or below
        return self.catalog.leaves(path).get(leaf)

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
