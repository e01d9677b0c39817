"""What the tests of re-initialization share: a small model, and readings of what was written."""

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

import ssmspec
from ssmspec.analysis.model import open_model
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.reading import Reading
from ssmspec.reinitialization import changes as planning
from ssmspec.results.reinit import CPolicy
from ssmspec.schemes import SCHEMES
from tests.examples.families import EXAMPLES as DIAGONAL
from tests.examples.families_selective import EXAMPLES as SELECTIVE

EXAMPLES = DIAGONAL | SELECTIVE


def saved(tmp_path, tensors, name="in.safetensors", dtype=np.float32):
    path = tmp_path / name
    save_file({key: np.ascontiguousarray(v, dtype) for key, v in tensors.items()}, path)
    return path


def trained_s4d(seed=0, shape=(16, 8), layers=2):
    """A small S4D model away from any initialization, as a float32 state dict."""
    rng = np.random.default_rng(seed)
    tensors = {"encoder.weight": rng.normal(size=(3, 5)), "decoder.bias": rng.normal(size=4)}
    for n in range(layers):
        tensors |= {
            f"s4_layers.{n}.kernel.log_dt": rng.uniform(np.log(1e-3), np.log(0.1), shape[0]),
            f"s4_layers.{n}.kernel.log_A_real": np.log(0.5) + rng.normal(0, 0.1, shape),
            f"s4_layers.{n}.kernel.A_imag": np.pi * np.arange(shape[1]) + rng.normal(0, 0.1, shape),
            f"s4_layers.{n}.kernel.C": rng.normal(size=(*shape, 2)),
            f"s4_layers.{n}.D": rng.normal(size=shape[0]),
        }
    return {name: values.astype(np.float32) for name, values in tensors.items()}


def spectra(source, reading=None):
    return ssmspec.read_spectra(source, reading)


def raw(path):
    """Bytes of every tensor of a safetensors file."""
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118


def flat(value, prefix=""):
    """Tensors of a nested dict by dotted name."""
    if torch.is_tensor(value):
        return {prefix: value}
    if isinstance(value, dict):
        parts = [flat(v, f"{prefix}.{k}" if prefix else str(k)) for k, v in value.items()]
        return {k: v for part in parts for k, v in part.items()}
    return {}


def reinitialized(tensors, scheme="dfout", reading=None, **options):
    """The tensors a re-initialization of float64 tensors in memory would write."""
    task = planning.Task(
        wish=planning.Wish(SCHEMES[scheme], **options),
        c=CPolicy.KEEP,
        search_xi=False,
        reading=reading or Reading(),
    )
    with open_model(MemoryCheckpoint(tensors), task.reading) as model:
        made = planning.plan(model, task)
    return {**tensors, **made.overlay.changes}


def kernels(tensors, name, length):
    """S4D kernels from a dict of tensors, by the formula of the paper's code."""
    dt = np.exp(np.float64(tensors[f"{name}.log_dt"]))[:, None]
    A = -np.exp(np.float64(tensors[f"{name}.log_A_real"])) + 1j * np.float64(
        tensors[f"{name}.A_imag"]
    )
    C = np.float64(tensors[f"{name}.C"]) @ [1, 1j] * (np.exp(dt * A) - 1) / A
    powers = np.exp((dt * A)[..., None] * np.arange(length))
    return 2 * np.einsum("hn,hnl->hl", C, powers).real
