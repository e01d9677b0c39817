"""A module in memory: re-initialized in place, and its parameters sorted for an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from ssmspec.analysis.model import HasStateDict, ReadingOptions, chosen_reading, open_model
from ssmspec.arrays import Array
from ssmspec.checkpoints.base import TensorInfo
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import CheckpointError, UsageError
from ssmspec.live.layers import config_of, state_of, unwrapped
from ssmspec.naming import printable
from ssmspec.reading import Reading
from ssmspec.reinitialization.run import outcome_of, planned, task_for
from ssmspec.results.reinit import CPolicy, DtPolicy, Reinitialization
from ssmspec.schemes import SchemeOptions

if TYPE_CHECKING:
    from torch import nn


def apply(
    module: HasStateDict,
    scheme: str = "dfout",
    reading: Reading | None = None,
    *,
    seed: int = 0,
    dt: DtPolicy | str | None = None,
    c: CPolicy | str = CPolicy.KEEP,
    search_xi: bool = False,
    options: SchemeOptions | None = None,
    **reading_options: Unpack[ReadingOptions],
) -> Reinitialization:
    """Re-initialize the state-space layers of a live model in place: all of them, or none.

    The same arguments give the same numbers as `ssmspec.reinit` does on the model's checkpoint.
    Tensors keep their device and their dtype. Make the optimizer afterwards: the state of an old
    one belongs to the old poles.

    Args:
        module: a module whose state dict holds layers of a known family.
        scheme: id of the scheme.
        reading: how to read the model; or its fields as keywords. `layers` selects layers.
        seed: non-negative; every layer draws from (seed, its place among all layers).
        dt: "keep" writes A for the step sizes that are there, "one" writes dt = 1.
        c: "keep" leaves C, "fit" solves for the C that keeps most of the old kernels over
            `seq_len` lags, "reset" draws the family's own initialization.
        search_xi: with "fit" and a dfout scheme, choose the damping for the best fit.
        options: what is set of the scheme.
        **reading_options: fields of `Reading`.

    Returns:
        What changed, with metrics before and after.

    Raises:
        SchemeError: a layer cannot hold the scheme.
        UsageError: options that make no sense together.
        CheckpointError: the model cannot be read, or its state dict is a copy of its parameters.
        NoLayersError: it holds no state-space layer that can be read.
    """
    chosen = chosen_reading(reading, reading_options)
    task = task_for(scheme, chosen, seed=seed, dt=dt, c=c, search_xi=search_xi, options=options)
    state = unwrapped(state_of(module))
    checkpoint = MemoryCheckpoint(state, "the model")
    checkpoint.config = config_of(module)
    with open_model(checkpoint, chosen) as model:
        task = replace(task, reading=model.reading)
        made = planned(model, task)
        _put(module, state, made.overlay.changes)
        return outcome_of(model, task, made, written=True)


def _put(module: HasStateDict, state: Mapping[str, Any], changes: Mapping[str, Array]) -> None:
    """Copy values into a module's own tensors; if one of them does not take them, none does."""
    import torch  # noqa: PLC0415 - the rest of this package does without

    new = {
        name: torch.from_numpy(values.copy()).to(state[name].device, state[name].dtype)
        for name, values in changes.items()
    }
    old = {name: state[name].detach().clone() for name in new}

    def put(values: Mapping[str, Any]) -> None:
        with torch.no_grad():
            for name, value in values.items():
                state[name].copy_(value)

    try:
        put(new)
        now = unwrapped(state_of(module))
        lost = [name for name, value in new.items() if not torch.equal(now[name], value)]
    except BaseException:
        put(old)
        raise
    if lost:
        put(old)
        raise CheckpointError(
            f"{printable(lost[0])} did not take its new values, because the model's state dict is "
            f"a copy; re-initialize its checkpoint with `ssmspec reinit`"
        )


class _Followed(MemoryCheckpoint):
    """A state dict that remembers which of its tensors were read."""

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        super().__init__(tensors, "the model")
        self.seen: set[str] = set()

    def _load(self, info: TensorInfo) -> Array:
        self.seen.add(info.name)
        return super()._load(info)


def parameter_groups(
    module: nn.Module,
    lr: float,
    ssm_lr: float | None = None,
    weight_decay: float = 0.01,
    reading: Reading | None = None,
    **reading_options: Unpack[ReadingOptions],
) -> list[dict[str, Any]]:
    """Every parameter that trains, in the groups that state-space models are trained with.

    What poles and step sizes come from learns at `ssm_lr` and does not decay; these are the
    tensors that the reader of the layer's family reads. Of the others, those of one axis (norms,
    biases, D) learn at `lr` and do not decay, and the rest, C among them, learn at `lr` and decay,
    as in state-spaces/s4.

    Args:
        module: whose state dict holds layers of a known family.
        lr: learning rate, above 0.
        ssm_lr: of poles and step sizes; None for min(lr, 1e-3).
        weight_decay: not negative.
        reading: how to read the model; or its fields as keywords.
        **reading_options: fields of `Reading`.

    Returns:
        Dicts of `name` ("poles", "plain" or "decayed"), `params`, `lr` and `weight_decay` for any
        optimizer of torch; a group without parameters is left out.

    Raises:
        UsageError: a rate makes no sense.
        NoLayersError: the module holds no state-space layer.
    """
    slow = min(lr, 1e-3) if ssm_lr is None else ssm_lr
    if not (lr > 0.0 and slow >= 0.0 and weight_decay >= 0.0):
        raise UsageError(
            f"learning rates are above 0 and a weight decay is not negative, got lr = {lr}, "
            f"ssm_lr = {slow} and weight_decay = {weight_decay}"
        )
    poles = _pole_tensors(module, chosen_reading(reading, reading_options))
    members: dict[str, list[Any]] = {"poles": [], "plain": [], "decayed": []}
    for name, parameter in unwrapped(dict(module.named_parameters())).items():
        if parameter.requires_grad:
            own = "plain" if parameter.ndim < 2 else "decayed"
            members["poles" if name in poles else own].append(parameter)
    rates = {"poles": (slow, 0.0), "plain": (lr, 0.0), "decayed": (lr, weight_decay)}
    return [
        {"name": group, "params": parameters, "lr": rate, "weight_decay": decay}
        for group, (rate, decay) in rates.items()
        if (parameters := members[group])
    ]


def _pole_tensors(module: HasStateDict, reading: Reading) -> set[str]:
    """Names of the tensors that some layer's poles and step sizes come from."""
    checkpoint = _Followed(unwrapped(state_of(module)))
    checkpoint.config = config_of(module)
    with open_model(checkpoint, reading) as model:
        checkpoint.seen.clear()
        if not list(model.layers()):
            raise model.nothing_read()
        return checkpoint.seen
