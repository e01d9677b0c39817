"""Ready for a GPU, proved without one: on the meta device there are no numbers to ask for."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ssmspec.training.config import ModelConfig, Norm
from ssmspec.training.model import kernel
from ssmspec.training.model.stack import build_model
from ssmspec.training.scoring import objective_for
from ssmspec.training.tasks.base import Data, Readout, Target

LABELS = Data([], [], [], Target.CLASS, d_input=2, d_output=3, seq_len=20)
DATA = {
    "mean": LABELS,
    "last": replace(LABELS, readout=Readout.LAST, vocabulary=7),
    "class-per-step": replace(LABELS, target=Target.CLASS_PER_STEP),
    "value-per-step": replace(LABELS, target=Target.VALUE_PER_STEP),
}
SMALL = ModelConfig(d_model=4, d_state=4, n_layers=1, dropout=0.1)


class OnTheDeviceOnly(TorchDispatchMode):
    """Refuses operations that make a tensor elsewhere; to ask for a number fails by itself."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            assert not isinstance(leaf, torch.Tensor) or leaf.device.type == "meta", func
        return result


def batch_of(data, *, padded):
    """Inputs, targets and lengths as they would lie on a GPU."""
    tokens = data.vocabulary is not None
    x = torch.zeros((3, 20) if tokens else (3, 20, 2), dtype=torch.int64 if tokens else None)
    y = {
        Target.CLASS: torch.zeros(3, dtype=torch.int64),
        Target.CLASS_PER_STEP: torch.zeros(3, 20, dtype=torch.int64),
        Target.VALUE_PER_STEP: torch.zeros(3, 20, 3),
    }[data.target]
    lengths = torch.tensor([20, 7, 3]).to("meta") if padded else None
    return x.to("meta"), y.to("meta"), lengths


@pytest.mark.parametrize("scheme", ["dfout", "s4d-lin", "lru-ring"])
@pytest.mark.parametrize("kind", DATA)
def test_a_step_neither_leaves_the_device_nor_asks_it_for_a_number(scheme, kind):
    data = DATA[kind]
    flip_order, flip_memory = divmod([*DATA].index(kind), 2)  # over all kinds, every combination
    for batch_norm, bidirectional, padded in product([False, True], repeat=3):
        prenorm = batch_norm ^ bidirectional ^ bool(flip_order)
        recompute = bidirectional ^ padded ^ bool(flip_memory)
        config = replace(
            SMALL, scheme=scheme, norm=Norm.BATCH if batch_norm else Norm.LAYER, prenorm=prenorm,
            bidirectional=bidirectional, tie_dropout=batch_norm ^ padded,
        )  # fmt: skip
        model = build_model(config, data, 0).to("meta")
        model.recompute(recompute)
        x, y, lengths = batch_of(data, padded=padded)
        with OnTheDeviceOnly():
            loss, _ = objective_for(data.target).score(model(x, lengths), y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_mode_can_fail():
    x = torch.zeros(2, device="meta")
    with OnTheDeviceOnly(), pytest.raises(AssertionError):
        torch.zeros(2)
    with pytest.raises(RuntimeError, match="meta"):
        x[0].item()
    with pytest.raises(NotImplementedError, match="nonzero"):
        x[x > 0]


class Products(TorchDispatchMode):
    """Records which operations multiply matrices."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("bmm", "mm", "true_product"):
            self.seen.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def medium():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


def test_the_kernels_products_are_exact_whatever_is_allowed_elsewhere(medium, monkeypatch):
    del medium
    draw = torch.Generator().manual_seed(0)
    leaves = [
        torch.rand(3, 4, generator=draw, dtype=torch.float64).requires_grad_(),
        torch.rand(3, 4, generator=draw, dtype=torch.float64).requires_grad_(),
        torch.randn(1, 3, 4, 2, generator=draw).requires_grad_(),
    ]
    said, say = [], torch.set_float32_matmul_precision
    monkeypatch.setattr(
        torch, "set_float32_matmul_precision", lambda how: (said.append(how), say(how))
    )
    with Products() as products:
        kernel.vandermonde_kernel(*leaves, 50).square().sum().backward()
    assert products.seen == ["true_product"] * 5  # one forward, four for the gradient
    assert said == ["highest", "medium"] * 5
    ours = [leaf.grad.clone() for leaf in leaves]
    say("highest")
    for leaf in leaves:
        leaf.grad = None
    with Products() as products:
        kernel.vandermonde_kernel(*leaves, 50).square().sum().backward()
    assert "true_product" not in products.seen
    for mine, leaf in zip(ours, leaves, strict=True):
        assert torch.equal(mine, leaf.grad)


def held(model, x):
    """Bytes that a forward pass keeps for the gradient, parameters left out, and the loss."""
    storages = {}
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(x).square().mean()
    return sum(storages.values()), loss


@pytest.mark.parametrize("how", ["transform", "block"])
def test_what_is_made_again_is_not_held_and_gives_the_same_gradient(monkeypatch, how):
    data = replace(LABELS, target=Target.VALUE_PER_STEP)
    config = replace(SMALL, d_model=16, norm=Norm.BATCH, tie_dropout=True)
    x = torch.randn(8, 500, 2, generator=torch.Generator().manual_seed(0))
    results = []
    for again in (False, True):
        model = build_model(config, data, 0)
        if how == "transform":
            monkeypatch.setattr(kernel, "KEPT_NUMBERS", 0 if again else 10**9)
        else:
            model.recompute(again)
        torch.manual_seed(0)
        size, loss = held(model, x)
        loss.backward()
        gradients = {name: each.grad for name, each in model.named_parameters()}
        results.append((size, gradients, dict(model.named_buffers())))
    (whole, ours, before), (less, theirs, after) = results
    # a spectrum of 16 x 501 complex numbers an example goes, 16 x 500 real ones come or are there
    assert less <= whole - 8 * 16 * (501 * 8 - 500 * 4)
    assert less < (0.5 if how == "block" else 0.9) * whole
    for name, gradient in ours.items():
        assert torch.equal(gradient, theirs[name]), name
    for name, moment in before.items():
        assert torch.equal(moment, after[name]), name
