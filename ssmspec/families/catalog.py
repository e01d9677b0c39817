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

ADAPTED = "base_layer"
"""The component that an adapter puts above the weights it adds to."""

WRAPPERS_INSIDE = frozenset({
    ADAPTED, "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module", "_fpw_module",
    "_forward_module", "_original_module", "_wrapped_module", "wrapped_module", "_module",
})  # fmt: skip
"""Components that adapters, compilers and sharding put inside a path: looked through."""

KEPT_COPY = "modules_to_save"
"""The component, and the adapter's name after it, above a module that was trained as a whole."""

ADAPTER_PARTS = frozenset({
    "lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector",
    "hada_w1_a", "hada_w1_b", "lokr_w1", "lokr_w2", "ia3_l", "oft_r", "boft_R", "vera_lambda_b",
})  # fmt: skip
"""Components of adapters that are not merged into the weights beside them."""


class Catalog:
    """An index of a checkpoint's tensors by module.

    Attributes:
        checkpoint: what is indexed.
        optimizer_tensors: how many tensors of optimizer state were left out.
        adapters: paths of modules that hold, or are wrapped by, adapters that are not merged.

    Module paths come in natural order, leaves in file order. The path of top-level tensors is "".
    Wrappers inside a path are looked through: `dt_proj.base_layer.bias` is `dt_proj.bias`, unless
    the file has both. Names for people and tensor names stay the file's own.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.optimizer_tensors = 0
        self._leaves: dict[str, dict[str, str]] = {}
        self._holders: dict[str, list[str]] = {}
        self.adapters: set[str] = set()
        self._written: dict[str, str] = {}
        wrapped: list[tuple[str, str, str, str]] = []
        separator = _separator(checkpoint.tensors)
        known: dict[str, str | None] = {}
        for name in checkpoint.tensors:
            dotted = name.replace(separator, ".") if separator in ("/", "__") else name
            path, _, leaf = dotted.rpartition(".")
            if path not in known:
                known[path] = self._looked_through(path)
            bare = known[path]
            if bare is None or leaf.lower() in OPTIMIZER_PARTS:
                self.optimizer_tensors += 1
            elif bare != path:
                wrapped.append((path, bare, leaf, name))
            else:
                self._add(path, leaf, name)
        for path, bare, leaf, name in wrapped:
            if leaf in self._leaves.get(bare, {}):
                self._add(path, leaf, name)
            else:
                if bare not in self._leaves:
                    self._written[bare] = path
                self._add(bare, leaf, name)

    def _looked_through(self, path: str) -> str | None:
        """A path without the wrappers inside it; None for optimizer state."""
        parts = path.split(".")
        if not OPTIMIZER_PARTS.isdisjoint(path.lower().split(".")):
            return None
        bare = bare_path(path)
        if not ADAPTER_PARTS.isdisjoint(parts) or ADAPTED in parts:
            self.adapters.add(bare)
        return bare

    def _add(self, path: str, leaf: str, name: str) -> None:
        leaves = self._leaves.setdefault(path, {})
        if leaf not in leaves:
            self._holders.setdefault(leaf, []).append(path)
        leaves[leaf] = name

    def written(self, path: str) -> str:
        """A module's path as the file writes it, wrappers and all."""
        return self._written.get(path, path)

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

    def at_end_of(self, suffixes: tuple[str, ...], leaf: str) -> list[Module]:
        """The modules that hold this tensor and whose path ends in one of these components."""
        dotted = tuple(f".{suffix}" for suffix in suffixes)
        held = [
            path
            for path in self._holders.get(leaf, ())
            if path.endswith(dotted) or path in suffixes
        ]
        return [Module(self, path) for path in sorted(held, key=natural_key)]

    def having_any(self, leaves: Iterable[str]) -> list[Module]:
        """The modules that hold one of these tensors directly, in natural order of their paths."""
        held = {path for leaf in leaves for path in self._holders.get(leaf, ())}
        return [Module(self, path) for path in sorted(held, key=natural_key)]

    @property
    def leaf_names(self) -> Iterable[str]:
        """The names that tensors have in their modules, each once."""
        return self._holders.keys()

    def leaves(self, path: str) -> Mapping[str, str]:
        """Leaf name -> tensor name, for the tensors directly in the module at a dotted path."""
        return self._leaves.get(path, {})

    def module(self, path: str) -> Module:
        """The module at a dotted path; it may hold no tensors of its own."""
        return Module(self, path if path in self._leaves else bare_path(path))

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
        return self.catalog.written(self.path) or ROOT

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


def bare_path(path: str) -> str:
    """A dotted path without the wrappers inside it; those it begins with stay."""
    parts = path.split(".")
    if WRAPPERS_INSIDE.isdisjoint(parts) and KEPT_COPY not in parts:
        return path
    kept: list[str] = []
    outermost = True
    for before, part in zip(["", *parts], parts, strict=False):
        wrapper = part in WRAPPERS_INSIDE or KEPT_COPY in (before, part)
        outermost &= wrapper
        if outermost or not wrapper:
            kept.append(part)
    return ".".join(kept)


def _separator(names: Mapping[str, TensorInfo]) -> str:
    """The separator this checkpoint uses: the first of `.`, `/`, `__` that any name contains."""
    for separator in (".", "/", "__"):
        if any(separator in name for name in names):
            return separator
    return ""
