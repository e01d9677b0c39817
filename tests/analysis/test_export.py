"""Exported recurrences, run by the loop of the docs, against what layers compute by themselves."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import ssmspec
from ssmspec.cli import run as program
from ssmspec.errors import NoLayersError, SsmspecError, UsageError
from ssmspec.nn import DiagonalSSM
from tests.examples import families_dplr
from tests.examples.comparison import s4d
from tests.examples.families import EXAMPLES
from tests.families.s4_dplr.test_kernel import LENGTH, by_torch_code

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
MAMBA = "sample_checkpoints/mamba1.safetensors"


def exported(model, tmp_path, **options):
    result = ssmspec.export(model, tmp_path / "recurrent.npz", **options)
    return result, np.load(tmp_path / "recurrent.npz")


@pytest.fixture(scope="module")
def loop():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {}
    exec(compile(code, "export.md", "exec"), names)  # noqa: S102
    return names["run"]


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def pairs(values):
    return values[..., 0] + 1j * values[..., 1]


def test_s4d_is_its_convolution_and_the_feed_through(loop, tmp_path):
    model = s4d(channels=3, modes=4) | {"layers.0.D": np.array([0.5, -1.0, 2.0])}
    result, file = exported(model, tmp_path, seq_len=100)
    get = {key.rpartition(".")[2]: value for key, value in model.items()}
    dt, u = np.exp(get["log_dt"])[:, None], noise(100, 3)
    A = -np.exp(get["log_A_real"]) + 1j * get["A_imag"]
    c = pairs(get["C"]) * (np.exp(dt * A) - 1) / A
    K = 2 * np.einsum("hn,hnl->hl", c, np.exp((dt * A)[..., None] * np.arange(100))).real
    wanted = [np.convolve(u[:, h], K[h])[:100] + get["D"][h] * u[:, h] for h in range(3)]
    assert_allclose(loop(file, "layers.0.kernel", u)[:, 0], np.transpose(wanted), atol=1e-12)
    (layer,) = result.layers
    assert (layer.inputs, layer.outputs, layer.states, layer.doubled) == (3, 3, 12, True)
    assert layer.feedthrough == ""
    assert 0.0 < layer.error < 1e-13


@pytest.mark.parametrize("scheme", ["dfout", "s4d-lin"])
def test_both_directions_are_the_module_s_own_outputs(scheme, loop, tmp_path):
    module = DiagonalSSM(4, 8, scheme, bidirectional=True).double()
    u = noise(60, 4)
    with torch.no_grad():
        wanted = module(torch.from_numpy(u)[None])[0].double().numpy()
    result, file = exported(module, tmp_path)
    (layer,) = result.layers
    assert (layer.directions, layer.outputs) == (("forward", "backward"), 4)
    ahead = loop(file, f"{layer.name}/forward", u)[:, 0]
    behind = loop(file, f"{layer.name}/backward", u[::-1])[::-1, 0]
    delay = int(file[f"{layer.name}/backward/delay"])
    behind = np.concatenate([behind[delay:], np.zeros((delay, 4))])
    assert_allclose(ahead + behind, wanted, atol=2e-5 * np.abs(wanted).max())
    assert np.abs(ahead - wanted).max() > 0.01 * np.abs(wanted).max()


@pytest.mark.parametrize("key", ["s5", "s5/full"])
def test_s5_both_ways_is_two_scans(key, loop, tmp_path):
    tensors = EXAMPLES[key]().tensors
    path = "params/encoder/layers_1/seq"
    get = {leaf: tensors[f"{path}/{leaf}"] for leaf in ("B", "C1", "C2", "D", "log_step")}
    A = tensors[f"{path}/Lambda_re"] + 1j * tensors[f"{path}/Lambda_im"]
    step = np.exp(get["log_step"][:, 0])
    A_bar, B_bar = np.exp(step * A), ((np.exp(step * A) - 1) / A)[:, None] * pairs(get["B"])
    u = noise(30, 4)

    def scan(inputs):
        x, states = np.zeros(len(A), complex), []
        for now in inputs:
            x = A_bar * x + B_bar @ now
            states.append(x)
        return np.array(states)

    result, file = exported(tensors, tmp_path)
    name = path.replace("/", ".")
    factor = 1.0 + (result.layers[1].doubled)
    ahead, behind = scan(u), scan(u[::-1])[::-1]
    wanted = factor * (ahead @ pairs(get["C1"]).T + behind @ pairs(get["C2"]).T).real
    found = loop(file, f"{name}/forward", u) + loop(file, f"{name}/backward", u[::-1])[::-1]
    assert file[f"{name}/backward/delay"] == 0
    assert_allclose(found, wanted + get["D"] * u, atol=1e-11)


def test_dplr_runs_with_the_c_that_it_states(loop, tmp_path):
    example = families_dplr.EXAMPLES["s4-dplr"]()
    result, file = exported(example.tensors, tmp_path, reading=example.reading)
    (layer,) = result.layers
    channels = layer.inputs
    impulse = np.zeros((LENGTH, channels))
    impulse[0] = 1.0
    found = loop(file, layer.name, impulse)
    for channel in range(channels):
        wanted = by_torch_code(example, channel, lags=LENGTH).T.real
        assert_allclose(found[..., channel], wanted, atol=1e-9 * np.abs(wanted).max())


def test_lru_keeps_its_poles_as_they_are(loop, tmp_path):
    tensors = EXAMPLES["lru"]().tensors
    result, file = exported(tensors, tmp_path)
    assert not any(layer.doubled for layer in result.layers)
    nu = next(value for key, value in tensors.items() if key.endswith("nu_log"))
    assert_allclose(np.abs(file[f"{result.layers[0].name}/A_bar"]), np.exp(-np.exp(nu)))


def test_where_d_is_not_known_that_is_said(tmp_path):
    result, file = exported(s4d(), tmp_path)
    assert result.layers[0].feedthrough == "the file has no D where one is known"
    assert not any(key.endswith("/D") for key in file.files)
    other = tmp_path / "other.npz"
    (layer,) = ssmspec.export(s4d() | {"layers.0.D": np.ones(5)}, other).layers
    assert layer.feedthrough == "D has shape (5,), which does not fit 1 kernels of 2 channels"


def test_a_recurrence_that_misses_its_kernel_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("ssmspec.analysis.export.impulse_response", lambda kernel, lags: (
        np.ones((1, 2, lags))
    ))  # fmt: skip
    with pytest.raises(SsmspecError, match="the recurrence misses the kernel by"):
        ssmspec.export(s4d(), tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []


def test_selective_models_and_existing_files_are_refused(tmp_path, capsys):
    output = tmp_path / "x.npz"
    with pytest.raises(NoLayersError, match=r"can be exported: .*depend on the input"):
        ssmspec.export(MAMBA, output)
    assert program(["export", MAMBA, "--output", str(output)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not output.exists()
    output.write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        ssmspec.export(s4d(), output)
    assert output.read_text() == "mine"
    broken = s4d(C=np.full((2, 3, 2), np.nan))
    with pytest.raises(NoLayersError, match="NaN or an infinity"):
        ssmspec.export(broken, output, force=True)
    assert output.read_text() == "mine"


def test_the_page_shows_what_is_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("CI", raising=False)
    s5 = Path("sample_checkpoints/s5.safetensors").resolve()
    (tmp_path / "sample_checkpoints").mkdir()
    (tmp_path / "sample_checkpoints" / s5.name).symlink_to(s5)
    monkeypatch.chdir(tmp_path)
    command = ["export", "sample_checkpoints/s5.safetensors", "--output", "recurrent.npz"]
    assert program(command) == 0
    out = re.sub(r"\d+e-\d+$", "E", capsys.readouterr().out, flags=re.MULTILINE)
    shown = re.search(r"recurrent.npz\n(.*?)```", PAGE, re.DOTALL)[1]
    assert out == re.sub(r"\d+e-\d+$", "E", shown, flags=re.MULTILINE)
