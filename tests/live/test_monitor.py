"""The monitor's numbers against plain numpy, and its looks, files and states."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from ssmspec import SpectrumMonitor
from ssmspec.errors import CheckpointError, NoLayersError, UsageError
from ssmspec.results.trajectory import load_trajectory
from tests.examples.monitor import CHANNELS, MODES, Layer, Model, half_width, log_poles, nudge


def table(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def watched(model, monitor, steps):
    for step in steps:
        if step:
            nudge(model, step)
        monitor.step(step)


def test_a_look_measures_the_poles_as_they_are(tmp_path):
    model = Model(dt=0.3)
    monitor = SpectrumMonitor(model, every=1, folder=tmp_path)
    monitor.step(0)
    nudge(model, 1)
    with torch.no_grad():
        model.layers[1].log_dt += 0.5
    monitor.step(1)
    monitor.save()
    rows = table(tmp_path / "spectrum.csv")
    assert [(row["step"], row["layer"]) for row in rows] == [
        ("0", "layers.0"), ("0", "layers.1"), ("1", "layers.0"), ("1", "layers.1"),
    ]  # fmt: skip
    for row, layer in zip(rows[2:], model.layers, strict=True):
        poles = log_poles(layer)
        assert float(row["max_radius"]) == pytest.approx(np.exp(poles.real.max()))
        assert float(row["aliased_fraction"]) == np.mean(np.abs(poles.imag) > np.pi) > 0
        assert float(row["time_constant_median"]) == pytest.approx(np.median(-1 / poles.real))
        assert float(row["step_size_max"]) == pytest.approx(layer.log_dt.exp().max().item())
        assert row["memory_ratio"] == ""  # L is not known


def test_poles_moved_is_measured_from_the_first_look_in_half_widths():
    model = Model(layers=1)
    layer = model.layers[0]
    before = log_poles(layer)
    monitor = SpectrumMonitor(model, every=5)
    first = monitor.step(0)
    with torch.no_grad():
        layer.A_imag[:, 0] += 0.3
        layer.log_A_real[1] += 0.7
        layer.A_imag[2, 1] *= -1.0  # the other one of a conjugate pair: the same resonance
    last = monitor.step(5)
    after = log_poles(layer)
    moved = np.hypot(
        after.real - before.real, np.abs(after.imag) - np.abs(before.imag)
    ) / half_width(-before.real)
    assert first.layers[0].number("poles_moved") == 0.0
    assert last.layers[0].number("poles_moved") == pytest.approx(np.sqrt(np.mean(moved**2)))
    assert last.layers[0].number("poles_moved_share") == pytest.approx(np.mean(moved > 1))
    assert 0 < np.mean(moved > 1) < 1


@pytest.mark.parametrize(
    ("calls", "looked"),
    [
        (range(26), [0, 10, 20]),
        ((3, 9, 10, 11, 19, 20), [3, 10, 20]),
        ((0, 7, 14, 21, 28), [0, 14, 21]),  # steps of seven: whenever a ten was passed
        ((0, 0, 10, 10), [0, 10]),
    ],
)
def test_when_it_looks(calls, looked):
    monitor = SpectrumMonitor(Model(), every=10)
    returned = [monitor.step(step) for step in calls]
    assert [look.step for look in returned if look is not None] == looked
    assert [look.step for look in monitor.looks] == looked


def test_a_run_that_goes_back_forgets_what_came_after():
    monitor = SpectrumMonitor(Model(), every=10)
    for step in (0, 10, 20, 30, 12, 20):
        monitor.step(step)
    assert [look.step for look in monitor.looks] == [0, 10, 20]
    monitor.look(20)
    assert [look.step for look in monitor.looks] == [0, 10, 20]
    with pytest.raises(UsageError, match="negative"):
        monitor.step(-1)


def test_the_trajectory_holds_the_followed_poles(tmp_path):
    model = Model()
    monitor = SpectrumMonitor(model, every=1, folder=tmp_path)
    places = []
    for step in range(3):
        nudge(model, step)
        monitor.step(step)
        places.append([log_poles(layer) for layer in model.layers])
    monitor.save()
    paths = load_trajectory(tmp_path / "trajectory.npz")
    assert paths.steps.tolist() == [0, 1, 2]
    assert [layer.name for layer in paths.layers] == ["layers.0", "layers.1"]
    for i, layer in enumerate(paths.layers):
        poles = np.stack([place[i] for place in places])
        assert layer.decay.shape == (3, CHANNELS, MODES)
        np.testing.assert_allclose(layer.decay, -poles.real, rtol=1e-6)
        np.testing.assert_allclose(layer.omega, np.abs(poles.imag), rtol=1e-6)


@pytest.mark.parametrize(
    ("layers", "channels", "modes", "follow", "shape"),
    [
        (1, 64, 40, 16, (16, 32)),
        (1, 64, 40, 4, (4, 40)),
        (1, 1, 700, 16, (1, 512)),
        (32, 8, 40, 16, (8, 16)),  # 4096 poles of the model, 128 of a layer
    ],
)
def test_large_layers_are_followed_evenly(layers, channels, modes, follow, shape):
    model = Model(layers=layers, channels=channels, modes=modes, dt=1e-4)
    monitor = SpectrumMonitor(model, channels_followed=follow)
    monitor.step(0)
    omega = monitor.trajectory().layers[-1].omega[0]
    assert omega.shape == shape
    h = np.round(np.linspace(0, channels - 1, shape[0])).astype(int)
    m = np.round(np.linspace(0, modes - 1, shape[1])).astype(int)
    expected = np.abs(log_poles(model.layers[-1]).imag)[np.ix_(h, m)]
    np.testing.assert_allclose(omega, expected, rtol=1e-6)


def test_a_long_run_keeps_every_row_and_evenly_chosen_paths(monkeypatch):
    monkeypatch.setattr("ssmspec.live.files.INSTANTS", 4)
    monitor = SpectrumMonitor(Model(layers=1), every=1)
    kept = []
    for step in range(11):
        monitor.step(step)
        kept.append(monitor.trajectory().steps.tolist())
    assert kept[3] == [0, 1, 2, 3]
    assert kept[4] == [0, 2, 4]
    assert kept[7] == [0, 2, 4, 6, 7]
    assert kept[10] == [0, 4, 8, 10]
    assert [look.step for look in monitor.looks] == list(range(11))


def test_wrapped_models_have_the_names_of_bare_ones():
    bare = Model()
    wrapped = [
        torch.nn.DataParallel(bare),
        torch.compile(bare, backend="eager"),
        torch.nn.DataParallel(torch.compile(bare, backend="eager")),
        torch.compile(torch.nn.DataParallel(bare), backend="eager"),
    ]
    inside = Model()
    inside.layers[0] = torch.compile(inside.layers[0], backend="eager")
    for model in (bare, *wrapped, inside):
        look = SpectrumMonitor(model).look(0)
        assert [layer.name for layer in look.layers] == ["layers.0", "layers.1"]
    clash = {f"_orig_mod.{key}": value for key, value in bare.state_dict().items()}
    both = SpectrumMonitor({**bare.state_dict(), **clash}).look(0)
    assert len({layer.name for layer in both.layers}) == 4


def test_a_mapping_is_watched_as_it_changes():
    tensors = {
        "log_dt": np.zeros(2, np.float32),
        "log_A_real": np.zeros((2, 2), np.float32),
        "A_imag": np.ones((2, 2), np.float32),
    }
    monitor = SpectrumMonitor({"block": tensors}, every=1)
    first = monitor.step(0)
    tensors["A_imag"] *= 4.0
    last = monitor.step(1)
    assert [layer.name for layer in last.layers] == ["block"]
    assert first.layers[0].number("aliased_fraction") == 0.0
    assert last.layers[0].number("aliased_fraction") == 1.0
    monitor.step(2)
    assert monitor.looks[0].layers[0].number("nyquist_headroom") == pytest.approx(np.pi)


def test_a_look_changes_nothing():
    model = Model()
    torch.manual_seed(0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    SpectrumMonitor(model, seq_len=64).look(0)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002


def test_resuming_from_a_state_gives_the_same_files(tmp_path):
    whole, parts, resumed = (tmp_path / name for name in ("whole", "parts", "resumed"))
    model = Model()
    watched(model, monitor := SpectrumMonitor(model, every=2, seq_len=64, folder=whole), range(9))
    monitor.save()
    model = Model()
    watched(model, monitor := SpectrumMonitor(model, every=2, seq_len=64, folder=parts), range(6))
    stored = io.BytesIO()
    torch.save(monitor.state_dict(), stored)
    stored.seek(0)
    states = torch.load(stored, weights_only=True), json.loads(json.dumps(monitor.state_dict()))
    assert states[0] == states[1]
    later = SpectrumMonitor(model, every=2, seq_len=64, folder=resumed)
    later.load_state_dict(states[0])
    assert later.events == monitor.events
    assert later.findings == monitor.findings
    watched(model, later, range(6, 9))
    later.save()
    for name in ("spectrum.csv", "trajectory.npz"):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()


def test_a_state_of_something_else_is_refused():
    monitor = SpectrumMonitor(Model())
    monitor.look(0)
    with pytest.raises(UsageError, match=r"another model: layers\.2"):
        SpectrumMonitor(Model(layers=3)).load_state_dict(monitor.state_dict())
    with pytest.raises(UsageError, match=r"another model: layers\.0"):
        SpectrumMonitor(Model(modes=5)).load_state_dict(monitor.state_dict())
    with pytest.raises(UsageError, match="no state of a spectrum monitor"):
        SpectrumMonitor(Model()).load_state_dict({"step": 3})
    damaged = monitor.state_dict()
    damaged["start"]["layers.0"][0]["base64"] = "AAAA"
    with pytest.raises(UsageError, match="no state of a spectrum monitor"):
        SpectrumMonitor(Model()).load_state_dict(damaged)
    with pytest.raises(UsageError, match="version 7"):
        SpectrumMonitor(Model()).load_state_dict({**monitor.state_dict(), "version": 7})


def test_files_of_another_run_are_not_replaced(tmp_path):
    (tmp_path / "spectrum.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"spectrum\.csv is there already"):
        SpectrumMonitor(Model(), folder=tmp_path).step(0)
    assert (tmp_path / "spectrum.csv").read_text() == "mine"
    monitor = SpectrumMonitor(Model(), folder=tmp_path, force=True)
    monitor.finish(0)
    written = (tmp_path / "spectrum.csv").read_text()
    assert written.startswith("step,layer,poles_moved,")
    monitor.finish(5)  # its own files it may replace
    assert len((tmp_path / "spectrum.csv").read_text()) > len(written)
    monitor.look(0)  # the run begins again
    monitor.save()
    assert (tmp_path / "spectrum.csv").read_text() == written
    assert {path.name for path in tmp_path.iterdir()} == {"spectrum.csv", "trajectory.npz"}
    fresh = SpectrumMonitor(Model(), folder=tmp_path / "fresh")
    for _ in range(2):
        fresh.finish(0)
        fresh.look(0)


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    monitor = SpectrumMonitor(Model(), folder=tmp_path / "file" / "run")
    monitor.look(0)
    with pytest.raises(UsageError, match="cannot be made"):
        monitor.save()
    assert SpectrumMonitor(Model(), folder=tmp_path / "run").save() == ()  # nothing seen yet
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_watched():
    with pytest.raises(NoLayersError, match="no state-space layer"):
        SpectrumMonitor(torch.nn.Linear(2, 2))
    with pytest.raises(CheckpointError, match=r"not str.*analyze"):
        SpectrumMonitor("model.safetensors")
    with pytest.raises(CheckpointError, match="not type"):
        SpectrumMonitor(Layer)
    for wrong in ({"every": 0}, {"channels_followed": 0}, {"seq_len": 0}, {"raise_on": "fatal"}):
        with pytest.raises(UsageError):
            SpectrumMonitor(Model(), **wrong)
    monitor = SpectrumMonitor(Model())
    for nothing in (monitor.summary, monitor.trajectory):
        with pytest.raises(UsageError, match="not looked yet"):
            nothing()


def test_a_layer_that_cannot_be_measured_is_named():
    model = Model()
    model.layers[0].log_dt = torch.nn.Parameter(torch.zeros(CHANNELS + 1))
    monitor = SpectrumMonitor(model)
    assert [layer.name for layer in monitor.look(0).layers] == ["layers.1"]
    assert [item.name for item in monitor.skipped] == ["layers.0"]
    model.layers[1].log_A_real = torch.nn.Parameter(torch.zeros(CHANNELS, MODES + 1))
    with pytest.raises(CheckpointError, match=r"layers\.1 can no longer be read"):
        monitor.look(1)


def test_summary_sets_the_first_look_against_the_last():
    model = Model()
    monitor = SpectrumMonitor(model, every=1)
    monitor.step(0)
    with torch.no_grad():
        model.layers[1].A_imag *= 60.0
    monitor.step(1)
    for width in (80, 60):
        text = monitor.summary(width)
        assert max(map(len, text.splitlines())) <= width
    lines = monitor.summary(200).splitlines()
    assert lines[0] == "spectrum, step 0 -> 1 (2 looks)"
    assert lines[2].split() == [
        "layer", "moved", ">", "1", "cover", "aliased", "entangled", "tau",
    ]  # fmt: skip
    still, moved = lines[3].split(), lines[4].split()
    assert still[:4] == ["0", "0.00", "0", "%"]
    assert moved[0] == "1"
    aliased = np.mean(np.abs(log_poles(model.layers[1]).imag) > np.pi)
    assert f"0 % -> {100 * aliased:.1f} %" in lines[4]
    assert any(
        line.startswith("ALI001 warning") and "from step 1, layer 1" in line for line in lines
    )
    assert "layers.1" in monitor.summary(None)


def test_real_poles_and_the_configuration_of_a_hugging_face_model():
    transformers = pytest.importorskip("transformers")
    config = transformers.Mamba2Config(
        hidden_size=16, num_heads=4, head_dim=8, expand=2, n_groups=1, state_size=4, vocab_size=32,
        num_hidden_layers=2, chunk_size=4, time_step_limit=(0.01, 0.02),
    )  # fmt: skip
    model = transformers.Mamba2Model(config)
    with torch.no_grad():
        for block in model.layers:
            block.mixer.dt_bias.fill_(np.log(np.expm1(0.1)))  # softplus of it is 0.1
    limited = SpectrumMonitor(torch.nn.DataParallel(model), seq_len=64).look(0)
    for layer in limited.layers:
        assert layer.number("step_size_min") == layer.number("step_size_max") == 0.02
        assert layer.number("coverage") is None
    free = SpectrumMonitor(model.state_dict(), seq_len=64).look(0)
    assert [layer.number("step_size_max") for layer in free.layers] == pytest.approx([0.1, 0.1])


def test_nothing_of_it_imports_torch():
    script = (
        "import sys, ssmspec; ssmspec.SpectrumMonitor; "
        "assert not {'torch', 'matplotlib', 'accelerate'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
