"""The state-space layers of a model that is training: found once, read again at every look.

Whatever has a `state_dict()` will do, and torch is not imported: its tensors are taken through
their own methods. Only the tensors that poles and step sizes come from are copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from ssmspec.analysis.model import HasStateDict, ModelLayer, open_model
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import CheckpointError
from ssmspec.families.find import FoundLayer
from ssmspec.naming import printable
from ssmspec.reading import Reading

Watched: TypeAlias = Mapping[str, Any] | HasStateDict
"""A module, or a mapping of names to tensors that change in place."""

WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Path components that torch.compile, FSDP and activation checkpointing put into names."""

MAX_WRAPPERS = 4
"""Wrappers around a model that are looked through for its configuration."""

PARALLEL = "module."
"""What DistributedDataParallel and DataParallel put before every name."""


class LiveLayers:
    """Reads the layers of one model as they are now.

    Layers have the same names whether or not the model is wrapped for compilation or for several
    processes, so that a run may be resumed on another machine.

    Args:
        source: the model.
        reading: how to read it.

    Attributes:
        found: the layers, in natural order of their names.
        shapes: (H, M) of each, by name.
        skipped: what looked like a layer and cannot be measured, and why.

    Raises:
        CheckpointError: the source has no state dict.
        NoLayersError: it holds no state-space layer that can be measured.
    """

    def __init__(self, source: Watched, reading: Reading) -> None:
        self._source = source
        self._config = config_of(source)
        with open_model(self._checkpoint(), reading) as model:
            layers = list(model.layers())
            if not layers:
                raise model.nothing_read()
        self._model = model
        self.skipped = model.skipped
        self.found = tuple(layer.found for layer in layers)
        self.shapes = {layer.spectrum.name: layer.spectrum.shape for layer in layers}

    def read(self) -> list[ModelLayer]:
        """Each layer as it is now.

        Raises:
            CheckpointError: a layer's tensors are gone or no longer fit together.
        """
        self._model.checkpoint = self._checkpoint()
        return [self._read(found) for found in self.found]

    def _read(self, found: FoundLayer) -> ModelLayer:
        name = printable(found.site.name)
        layer = self._model.read(found)
        if layer is None:
            reason = next(s.reason for s in self._model.skipped if s.name == found.site.name)
            raise CheckpointError(
                f"{name} can no longer be read: {reason}; watch a model whose parameters keep "
                f"their names and shapes"
            )
        if layer.spectrum.shape != self.shapes[layer.spectrum.name]:
            raise CheckpointError(
                f"{name} had poles of shape {self.shapes[layer.spectrum.name]} and now has "
                f"{layer.spectrum.shape}; make a new monitor for another model"
            )
        return layer

    def _checkpoint(self) -> MemoryCheckpoint:
        checkpoint = MemoryCheckpoint(unwrapped(state_of(self._source)), "the model")
        checkpoint.config = self._config
        return checkpoint


def unwrapped(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state dict under the names that the bare model gives its tensors.

    Names are left as they are where two of them would become one.
    """
    if not all(isinstance(name, str) for name in state):
        return state
    parts = [[part for part in name.split(".") if part not in WRAPPERS] for name in state]
    names = [".".join(part) for part in parts]
    if all(name.startswith(PARALLEL) for name in names):
        names = [name.removeprefix(PARALLEL) for name in names]
    if len(set(names)) < len(names):
        return state
    return dict(zip(names, state.values(), strict=True))


def state_of(source: Watched) -> Mapping[str, Any]:
    """The state dict of what is watched.

    Raises:
        CheckpointError: it has none.
    """
    if isinstance(source, Mapping):
        return source
    state_dict = getattr(source, "state_dict", None)
    state = state_dict() if callable(state_dict) and not isinstance(source, type) else None
    if not isinstance(state, Mapping):
        raise CheckpointError(
            f"what is watched is a module, or a mapping of names to tensors that change in place, "
            f"not {type(source).__name__}; `ssmspec.analyze` reads files"
        )
    return state


def config_of(source: Watched) -> Mapping[str, Any]:
    """The configuration of a Hugging Face model, which some families read limits of dt from."""
    model: object = source
    for _ in range(MAX_WRAPPERS):
        to_dict = getattr(getattr(model, "config", None), "to_dict", None)
        config = to_dict() if callable(to_dict) else None
        if isinstance(config, Mapping):
            return config
        model = getattr(model, "_orig_mod", getattr(model, "module", None))
    return {}
