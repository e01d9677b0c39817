"""Poles under a coarse type, against models that torch casts and that are read again."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import ssmspec
from ssmspec.analysis.stored_as import pattern_of
from ssmspec.checkpoints.casting import cast
from ssmspec.cli import run as program
from ssmspec.errors import UsageError
from ssmspec.outcome import NotApplicable
from tests.examples.comparison import s4d
from tests.examples.families import EXAMPLES as DIAGONAL
from tests.examples.families_dplr import EXAMPLES as DPLR
from tests.examples.families_more import EXAMPLES as MORE
from tests.examples.families_selective import EXAMPLES as SELECTIVE

EXAMPLES = DIAGONAL | DPLR | MORE | SELECTIVE
TYPES = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp8-e4m3": torch.float8_e4m3fn,
    "fp8-e5m2": torch.float8_e5m2,
    "int8": None,
}
LIN = "sample_checkpoints/s4d_lin.safetensors"


def by_torch(values, kind):
    """What torch stores, as float64."""
    if np.iscomplexobj(values):
        parts = by_torch(np.stack([values.real, values.imag]), kind)
        return parts[0] + 1j * parts[1]
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if TYPES[kind] is not None:
        return tensor.float().to(TYPES[kind]).double().numpy()
    scale = tensor.double().abs().max() / 127
    codes = torch.round(tensor.double() / scale).clamp(-127, 127).to(torch.int8)
    return (codes.double() * scale).numpy()


@pytest.mark.parametrize("kind", TYPES)
def test_a_cast_is_torch_s(kind):
    """Numbers of every size, ties and subnormal ones included; beyond the largest, an overflow."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal(20000) * np.exp2(rng.uniform(-30, 17, 20000))
    ties = np.arange(-4096, 4097) / 64.0
    edges = np.array([448, 463.9, 464, 465, 480, 57344, 61439, 61440, 65504, 65519, 65520, 3.4e38])
    values = np.concatenate([values, ties, ties * 2.0**-14, edges, [0.0, -0.0, np.inf, np.nan]])
    values = values.astype(np.float32).astype(np.float64)
    if kind == "int8":
        values = values[np.isfinite(values)]
    wanted, found = by_torch(values, kind), cast(values, kind)
    finite = np.isfinite(wanted)
    if kind == "fp8-e4m3":  # torch 2.13 clamps what others make NaN of: halfway to 480 and beyond
        clamped = ~(np.abs(values) <= 464.0)
        assert (~finite | (np.abs(wanted) == 448.0))[clamped].all()
        finite &= ~clamped
    np.testing.assert_array_equal(found.values[finite], wanted[finite])
    assert not np.isfinite(found.values[~finite]).any()
    assert found.overflowed == np.count_nonzero(np.isfinite(values) & ~finite)
    assert (found.overflowed > 0) == (kind != "int8")
    complexes = (ties + 1j * ties[::-1])[:500]
    np.testing.assert_array_equal(cast(complexes, kind).values, by_torch(complexes, kind))


def distances(before, after):
    """(H, M) in half-widths, and how many modes left the circle."""
    a, b = before.log_poles, after.log_poles
    if before.structure == "dplr":
        apart = np.abs(a[..., :, None] - b[..., None, :]).min(axis=-1)
    else:
        turn = b.imag - a.imag
        if before.discretization != "zoh":
            turn = np.angle(np.exp(1j * turn))
        apart = np.hypot(b.real - a.real, turn)
    width = before.half_width
    outside = np.count_nonzero(b.real >= 0) - np.count_nonzero(a.real >= 0)
    return (apart[width > 0] / width[width > 0]), outside


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    "key", ["s4d", "s5", "s5/torch", "lru", "s4d-v3", "s4-dplr", "mamba", "dfout"]
)
def test_it_is_casting_with_torch_and_measuring_again(key, kind):
    example = EXAMPLES[key]()
    tensors = {
        name: values.astype(np.complex64 if np.iscomplexobj(values) else np.float32)
        if values.dtype.kind in "fc"
        else values
        for name, values in example.tensors.items()
    }
    result = ssmspec.stored_as(tensors, kind, example.reading)
    spectra = ssmspec.read_spectra(tensors, example.reading)
    for layer, before in zip(result.layers, spectra, strict=True):
        assert layer.tensors
        names = [tensor.name for tensor in layer.tensors]
        kept = {tensor.name for tensor in layer.tensors if tensor.keep}
        rows = [([tensor.name], tensor.shift) for tensor in layer.tensors]
        rows += [(names, layer.together), ([n for n in names if n not in kept], layer.kept)]
        for some, shift in rows:
            stored = tensors | {name: by_torch(tensors[name], kind) for name in some}
            if isinstance(shift, NotApplicable):
                assert max(np.abs(tensors[name]).max() for name in some) > 448.0
                assert "overflow" in shift.reason
                continue
            (after,) = (
                s for s in ssmspec.read_spectra(stored, example.reading) if s.name == before.name
            )
            relative, outside = distances(before, after)
            assert shift.rms == pytest.approx(np.sqrt(np.mean(relative**2)), rel=1e-9)
            assert shift.largest == pytest.approx(relative.max(initial=0.0), rel=1e-9)
            assert shift.outside == max(0, outside)
        assert isinstance(layer.kept, NotApplicable) is False
        assert layer.kept.rms <= result.threshold
        assert layer.kept.outside == 0


def test_what_leaves_the_circle_and_what_overflows_is_named_and_kept():
    slow = s4d(channels=2, modes=3, log_A_real=np.full((2, 3), np.log(0.5)))
    high = slow | {"layers.0.kernel.A_imag": np.full((2, 3), 1000.0)}
    (layer,) = ssmspec.stored_as(high, "fp8-e4m3").layers
    (angle,) = (tensor for tensor in layer.tensors if tensor.name.endswith("A_imag"))
    assert angle.keep
    assert angle.shift.reason == "6 of 6 values overflow: the largest number is 448"
    assert "6 of 6 values of layers.0.kernel.A_imag overflow" in layer.together.reason
    ring = {
        "rnn.Lambda_re": np.array([-1.0, -1e-4, -1e-4, -0.5]),
        "rnn.Lambda_im": np.array([1.0, 2.0, 3.0, 4.0]),
        "rnn.log_step": np.full((4, 1), -3.0),
    }
    result = ssmspec.stored_as(ring, "int8")
    (real,) = (t for t in result.layers[0].tensors if t.name.endswith("re"))
    assert (real.shift.outside, real.keep) == (2, True)  # 1e-4 is no multiple of 1/127: it is 0
    assert "rnn.Lambda_re" in result.keep


def test_the_pattern_fits_what_is_to_keep_and_nothing_else():
    names = [f"net.{i}.ssm.{leaf}" for i in range(12) for leaf in ("A", "A.b", "dt")]
    wanted = [name for name in names if name.endswith(".dt")]
    assert pattern_of(wanted, names) == r"^(net\.\d+\.ssm\.dt)$"
    some = ["net.3.ssm.A", "net.11.ssm.A"]
    fits = [name for name in names if re.fullmatch(pattern_of(some, names), name)]
    assert fits == some
    assert pattern_of([], names) == ""
    result = ssmspec.stored_as(LIN, "fp8-e5m2")
    everything = ssmspec.open_checkpoint(LIN).tensors
    assert {n for n in everything if re.search(result.pattern, n)} == set(result.keep) != set()
    twice = EXAMPLES["s4d-v4/lrnnx"]().tensors
    kept = ssmspec.stored_as(twice, "fp8-e5m2").keep
    assert {"blocks.0.ssm.inv_dt", "blocks.0.ssm.layer.kernel.inv_dt"} <= set(kept)


def test_a_type_that_changes_nothing_says_so_and_the_rest_is_refused(capsys):
    exact = s4d(log_dt=np.full(2, -3.0), log_A_real=np.full((2, 3), -0.5))
    exact["layers.0.kernel.A_imag"] = np.tile([0.0, 3.0, 6.0], (2, 1))
    result = ssmspec.stored_as(exact, "bf16")
    assert (result.layers[0].tensors, result.pattern) == ((), "")
    with pytest.raises(UsageError, match="fp8-e4m3, fp8-e5m2, int8, not 'int4'"):
        ssmspec.stored_as(exact, "int4")
    assert program(["analyze", LIN, "--stored-as", "bf16", "--sweep", "dt"]) == 2
    assert "--sweep and --stored-as make different reports" in capsys.readouterr().err


def test_the_page_shows_what_is_printed(capsys, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    page = Path("docs/precision.md").read_text(encoding="utf-8")
    assert program(["analyze", LIN, "--stored-as", "bf16"]) == 0
    assert capsys.readouterr().out in page
    assert program(["analyze", LIN, "--stored-as", "int8", "--format", "csv"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith("layer,family,tensor,dtype,stored_as,half_widths_rms")
    assert len(rows) == 1 + 2 * (1 + 2)  # log_A_real is one number everywhere: int8 holds it
