"""What is recognized and not measured, and what must not be recognized at all."""

import numpy as np
import pytest
import torch

from ssmspec.checkpoints import open_checkpoint
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.families import lookalikes
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.reading import Reading

H, N, K = 4, 6, 8
MODES = (1, H, N, 2)

# layer name -> leaf -> shape, as the original code stores them; then the title that is expected
SIGNATURES = {
    "Centaurus": ("ssm", {"A": (K, 2), "E": (3, K), "log_delta": (K,)}),
    "S7": ("ssm", {"base_params": (K,), "x_proj.weight": (K, 3)}),
    "VMamba": ("layers.0.op", {"A_logs": (4 * H, N), "Ds": (4 * H,),
               "dt_projs_weight": (4, H, 2), "x_proj_weight": (4, 2 + 2 * N, H)}),
    "Mamba-1 in TensorFlow": ("s6", {"A_log": (H, N), "D": (H,), "x_projection.kernel": (H, 9),
                              "delta_t_projection.bias": (H,)}),
    "Mamba-1: its": ("mamba_layers.0", {"A_log": (H, N), "dt_proj": (H, H), "x_proj": (2 * N, H)}),
    "like Mamba-2": ("mixer", {"A_log": (H,), "dt_bias": (H,)}),
    "Mamba-3": ("mixer", {"dt_bias": (H,), "B_bias": (H, 1, N), "C_bias": (H, 1, N), "D": (H,)}),
    "RG-LRU": ("model.layers.0.temporal_block.rg_lru", {"recurrent_param": (H,),
               "recurrent_gate_weight": (2, 2, 2)}),
    "RG-LRU in JAX": ("blocks.0.recurrent_block.rg_lru", {"a_param": (H,)}),
    "RG-LRU of lrnnx": ("ssm", {"a_log": (H, N)}),
    "L2RU": ("ssm", {"alpha_log": (), "delta_bias": (N,)}),
    "Mega (": ("layers.0.move", {"delta": (H, N, 1), "alpha": (H, N, 1), "beta": (H, N, 1),
               "gamma": (H, N), "omega": (H,)}),
    "Megalodon (": ("layers.0.cema", {"delta": (H, N, 1), "alpha": (H, N, 1), "theta": (H, 1, 1),
                    "gamma": (H, N, 2), "omega": (H,)}),
    "H3 shift SSM": ("layers.0.mixer.ssm_k_kernel.kernel", {"B": MODES, "C": MODES}),
    "Hyena filter": ("layers.0.filter_fn.modulation", {"deltas": (1, 1, H)}),
    "SpaceTime": ("encoder.blocks.0.ssm", {"a": (H, N), "b": (H, N), "c": (H, N), "skip": (H,)}),
    "ssm_a: A": ("blk.0", {"ssm_a": (H,), "ssm_dt.bias": (H,), "ssm_ba.weight": (2 * H, 3)}),
    "A_log: not": ("ssm", {"A_log": (2, H, N, 3)}),
    "log_dt beside a state matrix": ("ssm", {"log_dt": (H,), "A": (H, N, N)}),
    "inv_dt beside a state matrix": ("ssm", {"inv_dt": (H, 1), "A": (1, 2 * N, 2 * N, 2)}),
    "log_step beside a state matrix": ("ssm", {"log_step": (H,), "A_re": (H,), "A_im": (H,)}),
    "log_delta beside a state matrix": ("ssm", {"log_delta": (H,), "A_log_real": (H,), "A": (H,)}),
}  # fmt: skip

PARENT = {
    "xLSTM": ("backbone.blocks.0.mlstm_layer", {"fgate_preact.weight": (H, 3),
              "fgate_preact.bias": (H,), "q.weight": (3, 3)}),
    "xLSTM: its": ("cells.0", {"W_q.weight": (3, 3), "igate.bias": (2,), "fgate.bias": (2,)}),
    "a step size without A": ("blocks.0.ssm", {"dt_proj.weight": (H, H, 1), "dt_proj.bias": (H,)}),
    "xLSTM ": ("blocks.0.xlstm.mlstm_cell", {"fgate.weight": (H, 3), "fgate.bias": (H,)}),
}  # fmt: skip

ALL = SIGNATURES | PARENT


def tensors_of(key):
    name, leaves = ALL[key]
    return {f"{name}.{leaf}": np.zeros(shape, np.float32) for leaf, shape in leaves.items()}


def found_in(tensors):
    return find_layers(Catalog(MemoryCheckpoint(tensors)), Reading())


@pytest.mark.parametrize("key", ALL)
def test_a_known_layout_is_skipped_by_name_with_its_reason(key):
    layers, skipped = found_in(tensors_of(key))
    assert not layers
    (item,) = skipped
    assert item.name == ALL[key][0]
    assert item.reason.startswith(key.strip())
    title, _, reason = item.reason.partition(": ")
    assert title
    assert len(reason) > 15
    assert not reason.endswith(".")


def test_every_record_of_the_table_was_exercised():
    seen = set()
    for key in ALL:
        catalog = Catalog(MemoryCheckpoint(tensors_of(key)))
        seen |= {
            next((item for item in lookalikes.LOOKALIKES if item.fits(module)), None)
            for module in catalog
        }
    assert [item.title for item in lookalikes.LOOKALIKES if item not in seen] == []


def test_flax_separators_make_no_difference():
    tensors = {name.replace(".", "/"): v for name, v in tensors_of("VMamba").items()}
    _, (item,) = found_in(tensors)
    assert item.name == "layers.0.op"


def test_a_layer_that_is_measured_is_not_listed_as_well():
    leaves = {"log_dt": (H,), "log_A_real": (H, N), "A_imag": (H, N), "C": (H, N, 2)}
    layers, skipped = found_in({f"kernel.{leaf}": np.zeros(s) for leaf, s in leaves.items()})
    assert len(layers) == 1
    assert not skipped


def test_no_real_file_is_silently_ignored(shared):
    for path in sorted(shared.iterdir()):
        if path.suffix == ".md":
            continue
        with open_checkpoint(path) as checkpoint:
            layers, skipped = find_layers(Catalog(checkpoint), Reading())
            assert layers or skipped, path.name


class Adapted(torch.nn.Module):
    """Attention with low-rank adapters, whose names are the letters of a state space."""

    def __init__(self):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (torch.nn.Linear(4, 4) for _ in range(3))
        self.lora_A = torch.nn.ModuleDict({"default": torch.nn.Linear(4, 2)})
        self.lora_B = torch.nn.ModuleDict({"default": torch.nn.Linear(2, 4)})
        self.A = torch.nn.Parameter(torch.zeros(4, 2))
        self.B = torch.nn.Parameter(torch.zeros(2, 4))
        self.alpha = torch.nn.Parameter(torch.zeros(1))
        self.scale = torch.nn.Parameter(torch.zeros(1))


ORDINARY = {
    "LSTM": lambda: torch.nn.LSTM(3, 5, num_layers=2),
    "GRU": lambda: torch.nn.GRU(3, 5),
    "attention": lambda: torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2
    ),
    "convolutions": lambda: torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 8, 3)
    ),
    "attention ": Adapted,
    "": lambda: torch.nn.Sequential(torch.nn.Conv1d(1, 4, 3), torch.nn.Linear(4, 4)),
}


@pytest.mark.parametrize("kind", ORDINARY)
def test_ordinary_layers_are_neither_found_nor_skipped(kind):
    state = ORDINARY[kind]().state_dict()
    catalog = Catalog(MemoryCheckpoint(state))
    assert find_layers(catalog, Reading()) == ((), ())
    text = lookalikes.describe(catalog)
    assert text.startswith(f"{len(state)} tensors such as '")
    if kind:
        assert text.endswith(f", as in {kind.strip()}")
    else:
        assert "as in" not in text


@pytest.mark.parametrize(
    "leaves",
    [
        {"w0": (5, 3), "w1": (3, 3), "w2": (3, 2)},
        {"a": (2, 3), "b": (3, 2), "c": (2, 2)},
        {"A": (2, 3), "B": (3, 2), "C": (2, 2), "D": (2,)},
        {"alpha": (3,), "beta": (3,), "gamma": (3,)},
        {"w": (3, 3), "bias": (3,)},
        {"dt_bias": (3,)},
        {"log_dt": (3,)},
    ],
)
def test_letters_alone_are_no_evidence(leaves):
    tensors = {f"block.{leaf}": np.zeros(shape) for leaf, shape in leaves.items()}
    assert found_in(tensors) == ((), ())


def test_optimizer_state_is_not_a_model():
    tensors = {f"optimizer.state.{name}": v for name, v in tensors_of("VMamba").items()}
    catalog = Catalog(MemoryCheckpoint(tensors))
    assert find_layers(catalog, Reading()) == ((), ())
    assert lookalikes.describe(catalog) == "only 4 tensors of optimizer state"


def test_what_a_file_holds_instead_is_named_by_its_largest_tensor():
    tensors = {
        "a.bias": np.zeros(3, np.float16),
        "a.weight": np.zeros((2304, 7), np.float32),
        "optimizer.state.0.exp_avg": np.zeros(3),
    }
    assert lookalikes.describe(Catalog(MemoryCheckpoint(tensors))) == (
        "2 tensors such as 'a.weight' (float32, 2,304 x 7), and 1 tensor of optimizer state"
    )
    scalar = {"step\x1b[31m": np.zeros((), np.int64)}
    assert lookalikes.describe(Catalog(MemoryCheckpoint(scalar))) == (
        r"1 tensor such as 'step\x1b[31m' (int64, a scalar)"
    )
    assert lookalikes.describe(Catalog(MemoryCheckpoint({}))) == "no tensors"
