"""Recurrences under names that no record knows are listed; ordinary layers are not."""

import numpy as np
import pytest

from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.families.shapes import is_state_name
from ssmspec.reading import Reading

H, N = 6, 4

LISTED = {
    "renamed A": (
        {"m.log_minus_A": (H, N), "m.delta_upscale.bias": (H,), "m.conv.bias": (H,)},
        "m", ("log_minus_A beside the step size delta_upscale.bias", "--map"),
    ),
    "renamed Lambda": ({"m.log_Lambda": (N,), "m.B": (N, 2)}, "m", ("log_Lambda", "--map")),
    "logA": ({"m.logA": (H, N), "m.D": (H,)}, "m", ("logA", "--map")),
    "two axes": ({"m.AT_log": (H, N), "m.AL_log": (H, N)}, "m", ("AL_log and AT_log", "them")),
    "dense": ({"m.A": (5, 5), "m.B": (5, 3), "m.C": (2, 5)}, "m", ("dense state matrix", "--map")),
    "dense maps": (
        {"m.A.weight": (5, 5), "m.B.weight": (5, 3), "m.C.weight": (2, 5), "m.A.bias": (5,)},
        "m", ("dense state matrix",),
    ),
    "decay": ({"m.decay": (64,)}, "m", ("decay of each channel", "--map")),
    "log decay": ({"layers.0.log_decay": (2, 8)}, "layers.0", ("log_decay", "--map")),
}  # fmt: skip

ORDINARY = {
    "low rank": {
        "q.lora_A.weight": (2, 8),
        "q.lora_B.weight": (8, 2),
        "q.base_layer.weight": (8, 8),
    },
    "maps": {"m.A": (4, 2), "m.B": (2, 4), "m.C": (3, 4)},
    "one decay": {"ema.decay": (), "ema.num_updates": ()},
    "logits": {"clip.logit_scale": (), "head.catalog": (3, 3), "m.log_std": (4,), "a.analog": (4,)},
    "attention": {"A.weight": (8, 8), "A.bias": (8,), "B.weight": (8, 8)},
}


def find(shapes):
    tensors = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    return find_layers(Catalog(MemoryCheckpoint(tensors)), Reading())


@pytest.mark.parametrize("key", LISTED)
def test_what_has_the_shape_of_a_recurrence_is_listed(key):
    shapes, name, told = LISTED[key]
    layers, (item,) = find(shapes)
    assert not layers
    assert item.name == name
    for words in told:
        assert words in item.reason
    assert not item.reason.endswith(".")


@pytest.mark.parametrize("key", ORDINARY)
def test_what_is_ordinary_is_not(key):
    assert find(ORDINARY[key]) == ((), ())


def test_words_in_names():
    for name in ("A_log", "log_A", "A", "A_real", "Lambda_re", "log_minus_A", "A_b_log", "ssm_a"):
        assert is_state_name(name)
    for name in (
        "dt_bias",
        "Attention",
        "catalog",
        "ALPHA_x",
        "log_std",
        "logits",
        "C",
        "W_A_x"[:2],
    ):
        assert not is_state_name(name)
