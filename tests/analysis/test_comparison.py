import json
import math

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import ssmspec
from ssmspec.analysis.matching import match_names
from ssmspec.errors import CheckpointError, NoLayersError, UsageError
from ssmspec.outcome import Measured, NotApplicable
from ssmspec.results.comparison import PolesMoved, SideKind
from ssmspec.results.tensors import Change
from tests.examples.comparison import half_width, mamba2, s4d


def only(sequence):
    assert len(sequence) == 1
    return sequence[0]


def test_a_model_compared_with_itself_has_no_difference():
    model = mamba2()
    comparison = ssmspec.compare(model, model, seq_len=100)
    assert comparison.tensors.matched == comparison.tensors.identical == len(model)
    assert comparison.tensors.differences == ()
    assert len(comparison.layers) == 2
    for pair in comparison.layers:
        assert pair.poles == PolesMoved(0.0, 0.0, 0, 4)
        numbers = [item.difference for item in pair.metrics.values() if item.difference is not None]
        assert len(numbers) > 5
        assert set(numbers) == {0.0}


def test_one_moved_pole_is_measured_in_half_widths_of_a():
    dt, shift = 0.05, 1.25
    imag = np.pi * np.arange(3)[None, :]
    moved = imag + np.array([[0.0, 0.0, shift]])
    pair = only(
        ssmspec.compare(
            s4d(channels=1, dt=dt, A_imag=imag), s4d(channels=1, dt=dt, A_imag=moved)
        ).layers
    )
    distance = dt * shift / half_width(0.5 * dt)
    assert pair.poles.largest == pytest.approx(distance, rel=1e-9)
    assert pair.poles.rms == pytest.approx(distance / math.sqrt(3), rel=1e-9)
    assert (pair.poles.moved, pair.poles.modes) == (1, 3)


def test_a_pole_that_moved_in_decay_and_angle_moved_by_the_hypotenuse():
    dt = 0.05
    after = s4d(
        channels=1,
        modes=2,
        dt=dt,
        log_A_real=np.log([[0.5, 0.8]]),
        A_imag=np.array([[0.0, np.pi + 0.4]]),
    )
    poles = only(ssmspec.compare(s4d(channels=1, modes=2, dt=dt), after).layers).poles
    assert poles.largest == pytest.approx(dt * math.hypot(0.3, 0.4) / half_width(0.5 * dt))


def test_modes_that_swapped_places_or_sign_did_not_move():
    imag = np.pi * np.arange(3)[None, :]
    after = s4d(channels=1, A_imag=-imag[:, ::-1])
    poles = only(ssmspec.compare(s4d(channels=1), after).layers).poles
    assert poles.moved == 0


def test_doubled_step_sizes_give_differences_known_in_closed_form():
    before = s4d(channels=2, modes=4, dt=0.2)
    after = before | {"layers.0.kernel.log_dt": before["layers.0.kernel.log_dt"] + math.log(2.0)}
    pair = only(ssmspec.compare(before, after, seq_len=50).layers)
    dt = np.array([0.2, 0.4])
    metrics = pair.metrics
    assert metrics["step_size_median"].difference == pytest.approx(0.3)
    assert metrics["time_constant_median"].a.value == pytest.approx(np.median(2 / dt))
    assert metrics["time_constant_median"].difference == pytest.approx(-np.median(1 / dt))
    angles = np.abs(np.pi * np.arange(4) * dt[:, None])
    aliased = [(angles > np.pi).mean(), (2 * angles > np.pi).mean()]
    assert metrics["aliased_fraction"].a.value == aliased[0] == 0.125
    assert metrics["aliased_fraction"].difference == aliased[1] - aliased[0] == 0.25
    assert metrics["entanglement"].difference == pytest.approx(0.0, abs=1e-12)
    moved = np.hypot(0.5 * dt[:, None], angles) / half_width(0.5 * dt)[:, None]
    assert pair.poles.rms == pytest.approx(np.sqrt((moved**2).mean()))
    assert pair.poles.largest == pytest.approx(moved.max())
    changed = only(ssmspec.compare(before, after).tensors.differences)
    assert (changed.layer, changed.role) == ("layers.0.kernel", "log_dt")


def test_dt_bias_set_anew_on_load_is_named_as_the_only_change():
    saved = mamba2(layers=3)
    rng = np.random.default_rng(7)
    loaded = {
        name: rng.uniform(-6, -2, 4).astype(np.float32) if name.endswith("dt_bias") else values
        for name, values in saved.items()
    }
    comparison = ssmspec.compare(saved, loaded)
    tensors = comparison.tensors
    assert tensors.matched == len(saved)
    assert tensors.identical == len(saved) - 3
    assert tensors.only_state_space_changed
    assert {(d.change, d.role) for d in tensors.differences} == {(Change.VALUES, "dt_bias")}
    assert {d.layer for d in tensors.differences} == {
        f"backbone.layers.{i}.mixer" for i in range(3)
    }
    for difference in tensors.differences:
        a, b = saved[difference.name].astype(float), loaded[difference.name].astype(float)
        assert difference.values.elements == 4
        assert difference.values.largest == np.abs(b - a).max()
        assert difference.values.relative == np.abs(b - a).max() / np.sqrt((a**2).mean())
    assert all(pair.poles.moved == 4 for pair in comparison.layers)


def test_a_change_elsewhere_is_no_silent_reinitialization():
    saved = mamba2()
    trained = {name: values + np.float32(0.5) for name, values in saved.items()}
    tensors = ssmspec.compare(saved, trained).tensors
    assert tensors.identical == 0
    assert not tensors.only_state_space_changed
    other = saved | {"backbone.embedding.weight": saved["backbone.embedding.weight"] + 1}
    tensors = ssmspec.compare(saved, other).tensors
    assert only(tensors.differences).layer is None
    assert not tensors.only_state_space_changed


def test_a_file_of_nothing_but_state_space_parameters_accuses_nobody():
    before = {k: v for k, v in s4d().items() if not k.endswith("C")}
    after = before | {"layers.0.kernel.log_dt": before["layers.0.kernel.log_dt"] - 1}
    assert not ssmspec.compare(before, after).tensors.only_state_space_changed


def test_tensors_that_appeared_vanished_or_changed_their_storage():
    a = s4d() | {
        "gone": np.ones(2),
        "shaped": np.ones((2, 3)),
        "typed": np.array([1.0, 2.0, 3.0]),
        "rounded": np.array([1.0, 0.1]),
    }
    b = s4d() | {
        "new": np.ones(5),
        "shaped": np.ones((3, 2)),
        "typed": np.array([1.0, 2.0, 3.0], dtype=np.float32),
        "rounded": torch.tensor([1.0, 0.1], dtype=torch.bfloat16),
    }
    found = {d.name: d for d in ssmspec.compare(a, b).tensors.differences}
    assert {name: d.change for name, d in found.items()} == {
        "gone": Change.ONLY_A,
        "new": Change.ONLY_B,
        "shaped": Change.SHAPE,
        "typed": Change.DTYPE,
        "rounded": Change.DTYPE,
    }
    assert found["gone"].b is None
    assert found["new"].a is None
    assert found["shaped"].a.shape == (2, 3)
    assert found["shaped"].values is None
    assert found["typed"].b.dtype == "float32"
    assert found["typed"].values.elements == 0
    assert found["rounded"].values.elements == 1
    assert found["rounded"].values.largest == abs(0.1 - torch.tensor(0.1).bfloat16().item())


def test_what_counts_as_the_same_value():
    big = 2**53
    a = s4d() | {
        "zero": np.array([0.0, 1.0]),
        "nan": np.array([np.nan, 1.0]),
        "count": np.array([big, 1]),
        "flags": np.array([True, False]),
        "turned": np.array([1 + 1j, 2.0]),
        "endless": np.array([1.0, np.inf, np.nan]),
    }
    b = s4d() | {
        "zero": np.array([-0.0, 1.0]),
        "nan": -np.array([np.nan, 1.0]) * np.array([1.0, -1.0]),
        "count": np.array([big + 1, 1]),
        "flags": np.array([True, True]),
        "turned": np.array([1 + 1j, 2.0 + 3.0j]),
        "endless": np.array([1.0, -np.inf, 0.0]),
    }
    found = {d.name: d.values for d in ssmspec.compare(a, b).tensors.differences}
    assert set(found) == {"count", "flags", "turned", "endless"}
    assert found["count"].elements == 1  # as float64 the two numbers are one
    assert found["flags"].elements == 1
    assert found["turned"].largest == 3.0
    assert (found["endless"].elements, found["endless"].largest) == (2, None)
    assert found["endless"].relative is None


def test_a_change_in_the_last_element_of_a_long_tensor_is_found():
    long = np.zeros(2**20 + 3, dtype=np.float32)
    end = long.copy()
    end[-1] = 2.0
    tensors = ssmspec.compare(s4d() | {"w": long}, s4d() | {"w": end}).tensors
    values = only(tensors.differences).values
    assert (values.elements, values.largest, values.rms) == (1, 2.0, 0.0)
    assert values.relative is None


def test_tensors_that_cannot_be_decoded_are_said_to_be_uncompared(tmp_path):
    header, blob, offset = {}, b"", 0
    for name, values in s4d().items():
        data = values.tobytes()
        shape = list(values.shape)
        header[name] = {
            "dtype": "F64",
            "shape": shape,
            "data_offsets": [offset, offset + len(data)],
        }
        blob, offset = blob + data, offset + len(data)
    header["odd"] = {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [offset, offset + 4]}
    text = json.dumps(header).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + blob + b"\1\2\3\4")
    tensors = ssmspec.compare(path, path).tensors
    assert only(tensors.differences).change is Change.UNREAD
    assert tensors.identical == 4


def test_optimizer_state_is_left_out_and_said_to_be():
    before = s4d() | {"optimizer.exp_avg.w": np.ones(3)}
    after = s4d() | {"optimizer.exp_avg.w": np.zeros(3), "optimizer.step": np.ones(1)}
    comparison = ssmspec.compare(before, after)
    assert comparison.tensors.differences == ()
    assert any("1 tensors of optimizer state in A and 2 in B" in s for s in comparison.assumptions)


@pytest.mark.parametrize("prefix", ["model.", "module.", "_orig_mod.", "model_state_dict.model."])
def test_wrapped_names_are_matched_and_the_prefix_is_stated(prefix):
    bare = mamba2()
    wrapped = {prefix + name: values for name, values in bare.items()}
    comparison = ssmspec.compare(bare, wrapped)
    assert comparison.tensors.identical == len(bare)
    assert comparison.only_a == comparison.only_b == ()
    assert [pair.b.name for pair in comparison.layers] == [
        f"{prefix}backbone.layers.{i}.mixer" for i in range(2)
    ]
    assert f"layers are matched without the prefix '{prefix}' of B" in comparison.assumptions
    assert f"tensors are matched without the prefix '{prefix}' of B" in comparison.assumptions


def test_a_layer_at_the_top_of_a_file_matches_the_wrapped_one():
    bare = {name.rpartition(".")[2]: values for name, values in s4d().items()}
    wrapped = {f"module.{name}": values for name, values in bare.items()}
    comparison = ssmspec.compare(bare, wrapped)
    assert only(comparison.layers).poles.moved == 0
    assert comparison.tensors.identical == 4


def test_equal_names_win_over_stripped_ones_and_ambiguous_ones_stay_apart():
    matching = match_names(("model.w", "w"), ("w", "module.w"))
    assert matching.pairs == (("model.w", "module.w"), ("w", "w"))
    matching = match_names(("model.w",), ("module.w", "_orig_mod.w"))
    assert matching.pairs == ()
    assert matching.only_a == ("model.w",)
    assert matching.only_b == ("module.w", "_orig_mod.w")
    assert match_names(("a.w",), ("b.w",)).pairs == ()
    assert match_names(("a", "b"), ("b", "a")).pairs == (("a", "a"), ("b", "b"))
    assert match_names(("a",), ("a",)).assumption("names") is None


def test_layers_only_one_side_has():
    two = s4d("net.0.kernel") | s4d("net.1.kernel")
    comparison = ssmspec.compare(two, s4d("net.0.kernel") | s4d("net.7.kernel"))
    assert only(comparison.layers).a.name == "net.0.kernel"
    assert comparison.only_a == ("net.1.kernel",)
    assert comparison.only_b == ("net.7.kernel",)


def test_poles_that_cannot_be_compared_say_why():
    narrow = only(ssmspec.compare(s4d(modes=3), s4d(modes=4)).layers)
    assert narrow.poles == NotApplicable("A has 2 x 3 modes and B has 2 x 4 modes")
    broken = s4d()
    broken["layers.0.kernel.A_imag"] = np.full((2, 3), np.nan)
    assert only(ssmspec.compare(s4d(), broken).layers).poles == NotApplicable(
        "poles of B are NaN or infinite"
    )
    undamped = s4d(log_A_real=np.full((2, 3), -np.inf))
    reason = only(ssmspec.compare(undamped, s4d()).layers).poles.reason
    assert "no damping" in reason or "NaN or infinite" in reason


def test_a_metric_in_two_units_has_no_difference():
    model = s4d()
    hertz = ssmspec.analyze(model, sample_rate=100.0)
    pair = only(ssmspec.compare(hertz, ssmspec.analyze(model)).layers)
    gap = pair.metrics["largest_gap"]
    assert {gap.a.unit, gap.b.unit} == {"Hz", "cycles/sample"}
    assert gap.difference is None
    assert gap.to_dict()["unit"] is None


def test_a_saved_report_stands_in_for_either_side(tmp_path):
    model = s4d(modes=4)
    path = tmp_path / "before.json"
    path.write_text(json.dumps(ssmspec.analyze(model, seq_len=300).to_dict()))
    moved = s4d(modes=4, dt=0.1)
    after = tmp_path / "after.safetensors"
    save_file(moved, after)
    direct = ssmspec.compare(model, moved, seq_len=300)
    for a, b, sign in ((path, after, 1), (after, path, -1)):
        comparison = ssmspec.compare(a, b)
        assert comparison.sequence_length == 300
        assert "the sequence length, 300, is taken from a saved report" in comparison.assumptions
        pair = only(comparison.layers)
        assert pair.poles == NotApplicable("a saved report holds no poles")
        assert comparison.tensors == NotApplicable("a saved report holds no tensors")
        for key, item in only(direct.layers).metrics.items():
            expected = item.difference
            found = pair.metrics[key].difference
            assert found == (None if expected is None else sign * expected)
        for key, item in direct.model.items():
            if item.difference is not None:
                assert comparison.model[key].difference == sign * item.difference
    kinds = [side.kind for side in (comparison.a, comparison.b)]
    assert kinds == [SideKind.CHECKPOINT, SideKind.REPORT]


def test_two_reports_measured_over_different_lengths_say_so():
    model = s4d()
    reports = [ssmspec.analyze(model, seq_len=length) for length in (100, 200)]
    comparison = ssmspec.compare(*reports)
    assert any("sequence length of 100 and B of 200" in note for note in comparison.assumptions)
    item = only(comparison.layers).metrics["memory_ratio"]
    assert item.b.value == pytest.approx(item.a.value / 2)


def test_a_metric_the_report_lacks_is_not_applicable(tmp_path):
    report = ssmspec.analyze(s4d()).to_dict()
    del report["layers"][0]["metrics"]["coverage"]
    report["layers"][0]["metrics"]["of_the_future"] = {"value": 1.0, "unit": "1"}
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    pair = only(ssmspec.compare(path, s4d()).layers)
    assert pair.metrics["coverage"].a == NotApplicable("the saved report does not have it")
    assert pair.metrics["of_the_future"].a == Measured(1.0, "1")
    assert pair.metrics["of_the_future"].difference is None


def test_layers_are_selected_on_both_sides():
    two = s4d("net.0.kernel") | s4d("net.1.kernel", dt=0.2)
    report = ssmspec.analyze(two)
    comparison = ssmspec.compare(report, two, layers="*.1.*")
    assert only(comparison.layers).a.name == "net.1.kernel"
    item = comparison.model["step_size_max"]
    assert item.a.value == item.b.value == pytest.approx(0.4)
    with pytest.raises(UsageError, match=r"no layer of the saved report fits.*did you mean 'net"):
        ssmspec.compare(report, report, layers="net.o.kernel")


def test_what_cannot_be_compared(tmp_path):
    with pytest.raises(CheckpointError):
        ssmspec.compare(tmp_path / "absent.safetensors", s4d())
    with pytest.raises(NoLayersError):
        ssmspec.compare(s4d(), {"linear.weight": np.ones((2, 2))})
    with pytest.raises(UsageError, match="not both"):
        ssmspec.compare(s4d(), s4d(), ssmspec.Reading(), seq_len=4)


def test_progress_counts_tensors():
    calls = []
    ssmspec.compare(mamba2(), mamba2(), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 15) for i in range(1, 16)]


def test_real_files_start_and_end_of_a_training_are_far_apart(shared):
    cifar = shared / "s4d_cifar10.pth"
    same = ssmspec.compare(cifar, cifar, layers="*.0.*")
    assert same.tensors.identical == same.tensors.matched == 40
    other = ssmspec.compare(cifar, shared / "s4d_untrained.pth", seq_len=1024)
    aliased = [pair.metrics["aliased_fraction"] for pair in other.layers]
    golden = ((0.1077, 0.0774), (0.0784, 0.1104), (0.0845, 0.1304), (0.0779, 0.1113))
    for item, (trained, untrained) in zip(aliased, golden, strict=True):
        assert item.difference == pytest.approx(untrained - trained, abs=1e-4)
    assert not other.tensors.only_state_space_changed
