"""The sample checkpoints hold what their README says, by formulas written out here."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

FOLDER = Path(__file__).resolve().parents[2] / "sample_checkpoints"
NAMES = sorted(path.stem for path in FOLDER.glob("*.safetensors"))
LAYERS = [0, 1]


def tensors(name):
    return {
        key: value.astype(np.float64)
        for key, value in load_file(FOLDER / f"{name}.safetensors").items()
    }


def s4d_exponents(name, layer):
    kernel = f"s4_layers.{layer}.kernel"
    held = tensors(name)
    poles = -np.exp(held[f"{kernel}.log_A_real"]) + 1j * held[f"{kernel}.A_imag"]
    return np.exp(held[f"{kernel}.log_dt"])[:, None] * poles


def s5_exponents(name, layer):
    seq = f"encoder.layers_{layer}.seq"
    held = tensors(name)
    poles = held[f"{seq}.Lambda_re"] + 1j * held[f"{seq}.Lambda_im"]
    return np.exp(held[f"{seq}.log_step"][:, 0]) * poles


def mamba_step_sizes(name, layer, bias):
    return np.log1p(np.exp(tensors(name)[f"backbone.layers.{layer}.mixer.{bias}"]))


def test_files_are_what_the_script_makes():
    subprocess.run([sys.executable, FOLDER / "make.py", "--check"], check=True, timeout=120)


def test_files_are_small_and_described():
    assert len(NAMES) == 10
    assert sum((FOLDER / f"{name}.safetensors").stat().st_size for name in NAMES) < 300_000
    readme = (FOLDER / "README.md").read_text()
    for name in NAMES:
        assert f"`{name}.safetensors`" in readme


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", ["s4d_lin", "s4d_inv", "s4d_dfout", "defect_aliased_s4d"])
def test_s4d_shapes(name, layer):
    held = tensors(name)
    kernel = f"s4_layers.{layer}.kernel"
    shapes = {leaf: held[f"{kernel}.{leaf}"].shape for leaf in ("log_dt", "log_A_real", "A_imag")}
    assert shapes == {"log_dt": (16,), "log_A_real": (16, 32), "A_imag": (16, 32)}
    assert held[f"{kernel}.C"].shape == (16, 32, 2)
    assert held[f"s4_layers.{layer}.D"].shape == (16,)


@pytest.mark.parametrize("layer", LAYERS)
def test_s4d_lin(layer):
    exponents = s4d_exponents("s4d_lin", layer)
    step = -2.0 * exponents[:, :1].real
    assert step.min() >= 0.001 * (1 - 1e-6)
    assert step.max() <= 0.1 * (1 + 1e-6)
    expected = step * (-0.5 + 1j * np.pi * np.arange(32))
    np.testing.assert_allclose(exponents, expected, rtol=1e-6)


@pytest.mark.parametrize("layer", LAYERS)
def test_s4d_inv(layer):
    imag = tensors("s4d_inv")[f"s4_layers.{layer}.kernel.A_imag"]
    # Golden values for N = 64.
    np.testing.assert_allclose(imag[:, 0], 1283.4255, rtol=1e-6)
    np.testing.assert_allclose(imag[:, 1], 414.2273, rtol=1e-6)


@pytest.mark.parametrize("layer", LAYERS)
def test_s4d_dfout(layer):
    exponents = s4d_exponents("s4d_dfout", layer)
    angles = np.sort(exponents.imag.ravel())
    np.testing.assert_allclose(angles, np.pi * np.arange(512) / 512, atol=1e-6)
    decay = -exponents.real
    assert np.ptp(decay, axis=1).max() == 0.0
    # One draw in each sixteenth of the two decades from 0.001 / 2 to 0.1 / 2.
    strata = np.floor(8.0 * np.log10(decay[:, 0] / 0.0005)).astype(int)
    assert sorted(strata) == list(range(16))
    assert np.corrcoef(np.log(decay[:, 0]), np.arange(16))[0, 1] ** 2 < 0.01


@pytest.mark.parametrize("layer", LAYERS)
def test_aliased_defect(layer):
    assert np.mean(np.abs(s4d_exponents("defect_aliased_s4d", layer).imag) > np.pi) == 30 / 32


@pytest.mark.parametrize("name", ["s4d_lin", "s4d_inv", "s4d_dfout"])
@pytest.mark.parametrize("layer", LAYERS)
def test_healthy_s4d_aliases_little(name, layer):
    aliased = np.mean(np.abs(s4d_exponents(name, layer).imag) > np.pi)
    assert aliased == 0 if name == "s4d_dfout" else aliased < 0.15


@pytest.mark.parametrize("layer", LAYERS)
def test_s5_holds_hippo_spectra(layer):
    held = tensors("s5")
    root = np.sqrt(2.0 * np.arange(32) + 1.0)
    hippo = -np.tril(np.outer(root, root), -1) - np.diag(np.arange(32) + 1.0)
    eigenvalues = np.linalg.eigvals(hippo + np.outer(root, root) / 2.0)
    lower = np.sort(eigenvalues.imag[eigenvalues.imag < 0])  # the half that S5 keeps
    seq = f"encoder.layers_{layer}.seq"
    np.testing.assert_allclose(held[f"{seq}.Lambda_im"], [*lower, *lower], rtol=1e-6)
    np.testing.assert_array_equal(held[f"{seq}.Lambda_re"], -0.5)
    np.testing.assert_allclose(eigenvalues.real, -0.5, atol=1e-9)
    assert held[f"{seq}.B"].shape == (32, 16, 2)
    assert held[f"{seq}.C"].shape == (16, 32, 2)


def test_unstable_defect():
    radii = [np.exp(s5_exponents("defect_unstable_s5", layer).real) for layer in LAYERS]
    assert radii[0].max() < 1.0
    assert radii[1].max() == pytest.approx(1.0025, abs=1e-7)
    assert np.count_nonzero(radii[1] > 1.0) == 1
    assert radii[1].max() ** 1024 == pytest.approx(12.9, abs=0.05)


@pytest.mark.parametrize("layer", LAYERS)
def test_lru(layer):
    held = tensors("lru")
    seq = f"encoder.layers_{layer}.seq"
    radius = np.exp(-np.exp(held[f"{seq}.nu_log"]))
    assert radius.shape == (64,)
    assert radius.min() > 0.9 - 1e-6
    assert radius.max() < 0.999 + 1e-6
    np.testing.assert_allclose(np.exp(held[f"{seq}.gamma_log"]) ** 2, 1 - radius**2, rtol=1e-4)
    assert np.exp(held[f"{seq}.theta_log"]).max() < 2 * np.pi
    assert held[f"{seq}.B_im"].shape == (64, 16)


@pytest.mark.parametrize("layer", LAYERS)
def test_mamba1(layer):
    held = tensors("mamba1")
    mixer = f"backbone.layers.{layer}.mixer"
    np.testing.assert_allclose(
        np.exp(held[f"{mixer}.A_log"]), np.tile(np.arange(1, 17), (32, 1)), rtol=1e-6
    )
    step = mamba_step_sizes("mamba1", layer, "dt_proj.bias")
    assert step.min() > 0.001 * (1 - 1e-4)
    assert step.max() < 0.1 * (1 + 1e-4)
    # x_proj makes the input of dt_proj (its rank) and B and C (16 states each).
    rank = held[f"{mixer}.dt_proj.weight"].shape[1]
    assert held[f"{mixer}.x_proj.weight"].shape == (rank + 2 * 16, 32)


@pytest.mark.parametrize("layer", LAYERS)
def test_zeroed_bias_defect(layer):
    step = mamba_step_sizes("defect_zeroed_dt_mamba1", layer, "dt_proj.bias")
    np.testing.assert_array_equal(step, np.log(2.0))
    A = np.exp(tensors("defect_zeroed_dt_mamba1")[f"backbone.layers.{layer}.mixer.A_log"])
    assert np.mean(step[:, None] * A > 1.0) == 15 / 16


@pytest.mark.parametrize("layer", LAYERS)
def test_mamba2(layer):
    held = tensors("mamba2")
    mixer = f"backbone.layers.{layer}.mixer"
    A = np.exp(held[f"{mixer}.A_log"])
    assert A.shape == (8,)
    assert ((A > 1.0) & (A < 16.0)).all()
    step = mamba_step_sizes("mamba2", layer, "dt_bias")
    assert step.min() > 0.001 * (1 - 1e-4)
    assert step.max() < 0.1 * (1 + 1e-4)
    # in_proj makes z and x (32 each), B and C (16 states each) and a step size a head.
    assert held[f"{mixer}.in_proj.weight"].shape == (32 + 32 + 16 + 16 + 8, 16)
    assert held[f"{mixer}.conv1d.weight"].shape == (32 + 16 + 16, 1, 4)
    assert held[f"{mixer}.norm.weight"].shape == (32,)
