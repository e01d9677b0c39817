"""Whether two models are the same, and what made them differ."""

import numpy as np
import pytest
import torch

import ssmspec
from ssmspec.errors import UsageError
from ssmspec.results.comparison import CauseKind
from tests.examples.comparison import half_width, mamba2, s4d
from tests.examples.families import lru

F32 = np.float32
BFLOAT16, FLOAT16 = torch.bfloat16, torch.float16


def cast(tensors, dtype):
    kinds = {"c": lambda v: v.astype(np.complex64)}
    return {
        name: kinds[v.dtype.kind](v) if v.dtype.kind in kinds else torch.tensor(v).to(dtype)
        for name, v in tensors.items()
    }


def trained(channels=6, modes=5, seed=0):
    rng = np.random.default_rng(seed)
    return s4d(
        channels=channels,
        modes=modes,
        log_A_real=np.log(0.5) + 0.3 * rng.normal(size=(channels, modes)),
        A_imag=np.pi * np.arange(modes) + 0.3 * rng.normal(size=(channels, modes)),
    ) | {"layers.0.D": rng.normal(size=channels)}


def same(a, b, **options):
    return ssmspec.compare(a, b, judged=True, **options).same


def kinds(a, b):
    return [cause.kind for cause in ssmspec.compare(a, b).causes]


MODELS = {"s4d": trained, "mamba2": mamba2, "lru": lambda: lru().tensors}


@pytest.mark.parametrize("key", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, BFLOAT16, FLOAT16])
def test_a_cast_is_the_same_model_within_its_rounding(key, dtype):
    model = MODELS[key]()
    assert same(model, model)
    assert same(model, cast(model, dtype))
    assert same(cast(model, dtype), model)


@pytest.mark.parametrize("seed", range(3))
def test_more_than_rounding_is_another_model(seed):
    model = trained(seed=seed)
    rng = np.random.default_rng(seed)
    for name, size in (("A_imag", 1e-3), ("log_A_real", 1e-3), ("log_dt", 1e-3), ("C", 1e-3)):
        other = dict(model)
        values = other[f"layers.0.kernel.{name}"].copy()
        place = tuple(rng.integers(n) for n in values.shape)
        values[place] += size * max(1.0, abs(values[place]))
        other[f"layers.0.kernel.{name}"] = values
        assert not same(model, other), name
        assert not same(cast(model, torch.float32), cast(other, torch.float32)), name
        assert same(model, other, tolerance=1.0), name


def test_the_skip_counts_where_it_is_there():
    model = trained()
    changed = model | {"layers.0.D": model["layers.0.D"] * 1.01}
    comparison = ssmspec.compare(model, changed, judged=True)
    assert not comparison.same
    assert "D differ by" in comparison.judgment
    assert same(model, changed, tolerance=0.011)
    gone = {k: v for k, v in model.items() if not k.endswith("D")}
    assert not same(model, gone)
    assert same(gone, gone)


def test_the_tolerance_for_poles_is_in_half_widths():
    a = s4d(channels=1, modes=2, dt=0.05)
    b = dict(a)
    b["layers.0.kernel.A_imag"] = a["layers.0.kernel.A_imag"] + np.array([[0.0, 0.4]])
    distance = 0.4 * 0.05 / half_width(0.5 * 0.05)
    found = ssmspec.compare(a, b, tolerance=10.0).layers[0].agreement
    assert found.poles == pytest.approx(distance, rel=1e-9)
    assert found.poles_allowed == found.residues_allowed == 10.0
    loose = {"layers.0.kernel.C": np.zeros((1, 2, 2))}  # residues aside
    assert same(a | loose, b | loose, tolerance=1.01 * distance)
    assert not same(a | loose, b | loose, tolerance=0.99 * distance)


def test_modes_in_another_order_and_conjugate_poles_are_the_same_model():
    model = trained()
    turned = dict(model)
    order = np.random.default_rng(1).permutation(5)
    for leaf in ("log_A_real", "A_imag", "C"):
        turned[f"layers.0.kernel.{leaf}"] = model[f"layers.0.kernel.{leaf}"][:, order]
    assert same(model, turned)
    turned["layers.0.kernel.A_imag"] = -turned["layers.0.kernel.A_imag"]
    turned["layers.0.kernel.C"] = turned["layers.0.kernel.C"] * np.array([1.0, -1.0])
    assert same(model, turned)


def test_a_conversion_to_another_format_is_the_same_model():
    model = trained()
    k = {name.rpartition(".")[2]: v for name, v in model.items()}
    v4 = {
        "layers.0.layer.kernel.inv_dt": k["log_dt"][:, None],
        "layers.0.layer.kernel.A_real": k["log_A_real"],
        "layers.0.layer.kernel.A_imag": -k["A_imag"],  # the opposite sign, so that C stays
        "layers.0.layer.kernel.B": np.tile([1.0, 0.0], (1, *k["A_imag"].shape, 1)),
        "layers.0.layer.kernel.C": k["C"][None],
        "layers.0.layer.D": k["D"][None],
    }
    assert same(model, {n: v.astype(F32) for n, v in v4.items()})
    wrong = v4 | {"layers.0.layer.kernel.A_imag": v4["layers.0.layer.kernel.A_imag"] * 1.001}
    assert not same(model, wrong)
    renamed = {name.replace("layers.0", "decoder.blocks.0"): v for name, v in model.items()}
    assert same(model, renamed)


def test_heads_in_another_order_are_named_and_are_not_the_same():
    model = mamba2(heads=8)
    order = np.r_[0:8:2, 1:8:2]
    turned = {
        k: v[order] if k.endswith(("A_log", "dt_bias", ".D")) else v for k, v in model.items()
    }
    assert kinds(model, turned) == [CauseKind.ORDER]
    comparison = ssmspec.compare(model, turned, judged=True)
    assert not comparison.same
    assert "heads stand in another order" in comparison.judgment
    assert not same(model, turned, tolerance=1e9)
    s4 = trained()
    rolled = {k: np.roll(v, 1, axis=0) for k, v in s4.items()}
    assert CauseKind.ORDER in kinds(s4, rolled)


@pytest.mark.parametrize("dtype", [BFLOAT16, FLOAT16])
def test_a_cast_is_named_and_is_no_re_initialization(dtype):
    model = mamba2()
    ours = ("A_log", "dt_bias")
    some = {k: torch.tensor(v).to(dtype) if k.endswith(ours) else v for k, v in model.items()}
    (cause,) = ssmspec.compare(model, some).causes
    assert cause.kind is CauseKind.CAST
    assert "A_log, dt_bias went from float32 to" in cause.sentence
    assert "nothing else changed" in cause.sentence
    assert kinds(some, model) == [CauseKind.CAST]
    moved = dict(some)
    name = "backbone.layers.0.mixer.dt_bias"
    moved[name] = (torch.tensor(model[name]) + 1).to(dtype)
    assert CauseKind.CAST not in kinds(model, moved)


def test_a_frozen_part_and_a_part_set_anew_are_told_apart():
    model = mamba2()
    rng = np.random.default_rng(0)
    moved = {k: v + rng.normal(size=v.shape).astype(F32) for k, v in model.items()}
    ours = [k for k in model if k.endswith(("A_log", "dt_bias"))]
    frozen = moved | {k: model[k] for k in ours}
    anew = model | {k: moved[k] for k in ours}
    assert kinds(model, frozen) == [CauseKind.FROZEN]
    assert kinds(model, anew) == [CauseKind.REINITIALIZED]
    assert kinds(model, moved) == []
    assert kinds(model, model) == []


def test_layers_under_other_names_are_paired_by_order_and_shape():
    model = mamba2(layers=3)
    other = {k.replace("backbone.layers", "decoder.blocks"): v for k, v in model.items()}
    comparison = ssmspec.compare(model, other)
    assert [(p.a.name, p.b.name) for p in comparison.layers] == [
        (f"backbone.layers.{i}.mixer", f"decoder.blocks.{i}.mixer") for i in range(3)
    ]
    (cause,) = comparison.causes
    assert cause.kind is CauseKind.NAMES
    assert "paired by their order and shape" in cause.sentence
    assert comparison.tensors.identical == len(model)
    fewer = {k: v for k, v in other.items() if ".2." not in k}
    assert ssmspec.compare(model, fewer).layers == ()


def test_a_changed_tensor_goes_by_its_name_below_the_layer():
    before = {f"m.{k}": v for k, v in mamba1().items()}
    after = before | {"m.dt_proj.bias": before["m.dt_proj.bias"] + 0.1}
    (difference,) = ssmspec.compare(before, after).tensors.differences
    assert difference.leaf == "dt_proj.bias"


def mamba1():
    rng = np.random.default_rng(0)
    shapes = {"A_log": (4, 3), "dt_proj.bias": (4,), "dt_proj.weight": (4, 2), "D": (4,)}
    return {name: rng.normal(size=shape).astype(F32) for name, shape in shapes.items()}


def test_nothing_is_said_unless_it_was_asked(tmp_path):
    comparison = ssmspec.compare(trained(), trained())
    assert comparison.same is None
    assert "same" not in comparison.to_dict()
    asked = ssmspec.compare(trained(), trained(), judged=True).to_dict()
    assert asked["same"] is True
    assert asked["layers"][0]["agreement"]["poles"]["largest"] == 0.0
    with pytest.raises(UsageError, match="saved report holds no poles"):
        ssmspec.compare(ssmspec.analyze(trained()), trained(), judged=True)
    with pytest.raises(UsageError, match="tolerance"):
        ssmspec.compare(trained(), trained(), tolerance=float("nan"))


def test_one_copy_of_a_file_is_compared_with_a_file_of_its_own():
    model = trained()
    average = {k: v * 1.001 for k, v in model.items()}
    both = {
        f"{n}.{k}": v for n, m in (("model", model), ("model_ema", average)) for k, v in m.items()
    }
    assert same(model, both)
    assert not same(model, both, part="model_ema")
    assert same(average, both, part="model_ema")
    assert same(both, average, part="model_ema")
    with pytest.raises(UsageError, match="did you mean 'model_ema'"):
        same(model, both, part="model_em")
