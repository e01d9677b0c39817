"""What is passed over, and why: nothing that has the shape of a state-space layer vanishes."""

import numpy as np
import pytest

import ssmspec
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import UsageError
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.reading import Reading
from tests.examples.families_selective import mamba_mixer

H, N = 6, 4


def mamba(layers=3, prefix="layers.{}.mixer"):
    rng = np.random.default_rng(0)
    return {
        f"{prefix.format(i)}.{leaf}": values
        for i in range(layers)
        for leaf, values in mamba_mixer(rng, H, N).items()
    }


def s4d(layers=2, prefix="layers.{}.kernel"):
    rng = np.random.default_rng(1)
    leaves = {"log_dt": (H,), "log_A_real": (H, N), "A_imag": (H, N), "C": (H, N, 2)}
    return {
        f"{prefix.format(i)}.{leaf}": rng.normal(-2.0, 0.1, shape)
        for i in range(layers)
        for leaf, shape in leaves.items()
    }


def find(tensors, metadata=None, **reading):
    checkpoint = MemoryCheckpoint(tensors)
    checkpoint.metadata = metadata or {}
    return find_layers(Catalog(checkpoint), Reading(**reading))


def poles(tensors, **reading):
    return [layer.log_poles for layer in ssmspec.read_spectra(tensors, **reading)]


WRAPPED = [
    ("dt_proj.", "dt_proj.base_layer.", ()),
    ("dt_proj.", "dt_proj._orig_mod.", ()),
    ("dt_proj.", "dt_proj._checkpoint_wrapped_module.", ()),
    ("mixer.", "_fsdp_wrapped_module.mixer._fpw_module.", ("_fsdp_wrapped_module",)),
    ("dt_proj.", "dt_proj.modules_to_save.default.", ()),
    ("mixer.", "_checkpoint_wrapped_module.mixer.", ("_checkpoint_wrapped_module",)),
    ("layers.", "_orig_mod.layers.", ("_orig_mod.layers",)),
]


@pytest.mark.parametrize(("plain", "wrapped", "named"), WRAPPED)
def test_a_wrapper_inside_a_path_is_looked_through(plain, wrapped, named):
    tensors = mamba()
    inside = {name.replace(plain, wrapped): values for name, values in tensors.items()}
    assert inside.keys() != tensors.keys()
    layers, skipped = find(inside)
    assert len(layers) == 3
    assert not skipped
    for layer in layers:  # the file's own names
        assert set(layer.site.tensors.values()) <= inside.keys()
        assert all(part in layer.site.name for part in named)
    for one, other in zip(poles(inside), poles(tensors), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_wrapped_copy_beside_the_plain_tensor_does_not_replace_it():
    tensors = mamba(1)
    wrong = {"layers.0.mixer.dt_proj.base_layer.bias": np.full(H, 9.0)}
    for both in ({**tensors, **wrong}, {**wrong, **tensors}):
        np.testing.assert_array_equal(poles(both), poles(tensors))


@pytest.mark.parametrize("adapter", ["lora_A.default.weight", "lora_magnitude_vector.default", ""])
def test_adapters_that_are_not_merged_are_told(adapter):
    tensors = {k.replace("dt_proj.", "dt_proj.base_layer."): v for k, v in mamba(2).items()}
    if adapter:
        tensors["layers.0.mixer.dt_proj." + adapter] = np.zeros((2, 2))
    report = ssmspec.analyze(tensors)
    assert any("base weights are measured" in each for each in report.assumptions)
    assert not any("base weights" in each for each in ssmspec.analyze(mamba(2)).assumptions)


@pytest.mark.parametrize("make", [mamba, s4d])
def test_placeholders_without_elements_are_told(make):
    layers, skipped = find({name: np.zeros(0, np.float32) for name in make(2)})
    assert not layers
    assert len(skipped) == 2
    assert all("0 elements" in item.reason and "gather" in item.reason for item in skipped)


def test_one_empty_parameter_takes_its_layer_only():
    tensors = s4d(2)
    tensors["layers.1.kernel.log_dt"] = np.zeros(0)
    layers, (item,) = find(tensors)
    assert [layer.site.name for layer in layers] == ["layers.0.kernel"]
    assert "log_dt has 0 elements" in item.reason


def quantized(values):
    scale = np.abs(values).max() / 127
    return np.round(values / scale).astype(np.int8), np.float32(scale)


@pytest.mark.parametrize("leaf", ["A_log", "dt_proj.bias"])
@pytest.mark.parametrize("scale", ["{}_scale", ""])
def test_a_quantizers_codes_are_never_read_as_numbers(leaf, scale):
    tensors = mamba(2)
    for i in range(2):
        name = f"layers.{i}.mixer.{leaf}"
        tensors[name], factor = quantized(tensors[name])
        if scale:
            tensors[scale.format(name)] = factor
    layers, skipped = find(tensors)
    assert not layers
    assert len(skipped) == 2
    for item in skipped:
        assert "is quantized (int8" in item.reason
        assert ("without a scale" in item.reason) is not bool(scale)


def test_codes_of_an_unproven_layout_are_told_too():
    leaves = {"A_log": (H, N), "dt_bias": (H,), "D": (H,)}
    tensors = {f"scan.{k}": np.ones(s, np.int8) for k, s in leaves.items()}
    tensors["scan.A_scale"] = np.ones(())
    _, (item,) = find(tensors)
    assert "A_log is quantized (int8 with A_scale beside it)" in item.reason


def test_quantized_projections_leave_a_layer_clean():
    tensors = mamba(2)
    for name in [name for name in tensors if "proj.weight" in name]:
        tensors[name], tensors[f"{name}_scale"] = quantized(tensors[name])
    layers, skipped = find(tensors)
    assert len(layers) == 2
    assert not skipped
    assert not any(layer.notes for layer in layers)


LOST = [
    (
        mamba,
        "layers.1.mixer.A_log",
        "like Mamba-1, A_log is missing: a loader would draw a new one",
    ),
    (mamba, "layers.1.mixer.dt_proj.bias", "like Mamba-1, dt_proj.bias is missing"),
    (s4d, "layers.0.kernel.log_dt", "like S4D, log_dt is missing"),
    (s4d, "layers.1.kernel.A_imag", "like S4D, A_imag is missing"),
]


@pytest.mark.parametrize(("make", "name", "told"), LOST)
def test_a_layer_that_lost_a_tensor_of_its_siblings_is_named(make, name, told):
    tensors = make()
    before = len(find(tensors)[0])
    del tensors[name]
    layers, (item,) = find(tensors)
    assert len(layers) == before - 1
    assert item.reason.startswith(told)
    assert f"{item.name}.{item.lost[0]}" == name


def test_two_lost_tensors_are_both_named():
    tensors = mamba()
    for leaf in ("A_log", "dt_proj.bias"):
        del tensors[f"layers.2.mixer.{leaf}"]
    _, (item,) = find(tensors)
    assert item.lost == ("A_log", "dt_proj.bias")
    assert "A_log and dt_proj.bias are missing" in item.reason


def test_what_metadata_says_is_shared_is_not_lost():
    tensors = mamba()
    del tensors["layers.1.mixer.A_log"]
    _, (item,) = find(tensors, {"layers.1.mixer.A_log": "layers.0.mixer.A_log"})
    assert item.lost == ()
    assert "shares" in item.reason


def test_other_blocks_of_the_same_name_lost_nothing():
    tensors = mamba()
    for leaf in ("q_proj", "k_proj", "v_proj", "out_proj"):
        tensors[f"layers.3.mixer.{leaf}.weight"] = np.zeros((H, H))
    for leaf in ("in_proj", "conv1d", "out_proj"):
        tensors[f"layers.4.mixer.{leaf}.weight"] = np.zeros((H, H))
    layers, skipped = find(tensors)
    assert len(layers) == 3
    assert not skipped


def copies(make, names):
    one = make(2)
    return {f"{n}.{k}": v * (1 + 0.01 * i) for i, n in enumerate(names) for k, v in one.items()}


COPIES = [
    (mamba, ("model", "model_ema")),
    (s4d, ("state_dict", "ema.shadow_params")),
    (s4d, ("state_dict.net", "state_dict.net_averaged.module")),
    (mamba, ("online_network", "target_network")),
]


@pytest.mark.parametrize(("make", "names"), COPIES)
def test_one_of_two_copies_is_measured_and_the_report_says_which(make, names):
    tensors = copies(make, names)
    report = ssmspec.analyze(tensors)
    assert [layer.name.startswith(f"{names[0]}.") for layer in report.layers] == [True] * 2
    assert len(report.skipped) == 2
    (note,) = [each for each in report.assumptions if "copies of one model" in each]
    assert "two copies" in note
    assert "is measured" in note
    part = report.skipped[0].reason.partition("--part ")[2].split()[0]
    other = ssmspec.analyze(tensors, part=part)
    assert [layer.name.startswith(f"{names[1]}.") for layer in other.layers] == [True] * 2
    assert not other.skipped
    first = make(2)
    for one, drawn in zip(poles(tensors), poles(first), strict=True):
        np.testing.assert_array_equal(one, drawn)


def test_two_models_or_two_directions_are_no_copies():
    for names in (("encoder", "decoder"), ("SSM_0_state_dict", "SSM_1_state_dict")):
        layers, skipped = find(copies(s4d, names))
        assert len(layers) == 4
        assert not skipped


def test_an_average_alone_is_measured():
    layers, skipped = find(copies(s4d, ["model_ema"]))
    assert len(layers) == 2
    assert not skipped


def test_a_part_that_is_not_there_gets_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean 'model_ema'"):
        find(copies(s4d, ("model", "model_ema")), part="model_em")


def test_what_is_not_read_is_named():
    tensors = mamba(2)
    for i in range(2):
        tensors[f"layers.{i}.mixer.log_delta_floor"] = np.float64(-2.0)
        tensors[f"layers.{i}.mixer.delta_floor_max"] = np.float64(0.15)
    report = ssmspec.analyze(tensors)
    (told,) = [each for each in report.assumptions if "not read" in each]
    assert "delta_floor_max, log_delta_floor" in told


def test_what_is_ordinary_is_not_named():
    assert not any("not read" in each for each in ssmspec.analyze(mamba(2)).assumptions)
    assert not any("not read" in each for each in ssmspec.analyze(s4d(2)).assumptions)


def test_an_assumption_that_means_nothing_here_is_refused():
    with pytest.raises(UsageError, match="means nothing to any layer"):
        find(mamba(1), assume=("clip-eigs",))
    with pytest.raises(UsageError, match="did you mean 'clip-eigs'"):
        find(mamba(1), assume=("clip-eig",))


def test_a_layer_that_lost_a_tensor_is_no_other_kind_of_block():
    tensors = mamba()
    del tensors["layers.1.mixer.A_log"]
    assert ssmspec.analyze(tensors).blocks is None


def test_a_namesake_in_several_places_is_no_second_copy():
    tensors = s4d(2, "m.{}.kernel") | {
        k.replace("k.0", "ema"): v for k, v in s4d(1, "k.{}.kernel").items()
    }
    layers, skipped = find(tensors)
    assert len(layers) == 3
    assert not skipped
