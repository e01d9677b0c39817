"""Reading options given as text, as a choice, or wrongly."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import ssmspec
from ssmspec import Discretization, DtTransform, LayerRate, Reading
from ssmspec.errors import UsageError
from ssmspec.reinitialization import reinit

H, M = 4, 4


@pytest.fixture(scope="module")
def tensors():
    rng = np.random.default_rng(0)
    kernel = {
        "inv_dt": np.log(rng.uniform(0.3, 0.9, (H, 1))),
        "A_real": np.full((H, M), np.log(0.5)),
        "A_imag": np.tile(np.pi * np.arange(M), (H, 1)),
        "B": np.tile([1.0, 0.0], (1, H, M, 1)),
        "C": rng.normal(size=(1, H, M, 2)),
    }
    return {f"layer.kernel.{name}": values for name, values in kernel.items()}


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ({"dt_transform": "exp"}, {"dt_transform": DtTransform.EXP}),
        ({"dt_transform": "softplus"}, {"dt_transform": DtTransform.SOFTPLUS}),
        ({"discretization": "bilinear"}, {"discretization": Discretization.BILINEAR}),
    ],
)
def test_text_is_the_choice_it_names(tensors, text, choice):
    one, other = (ssmspec.read_spectra(tensors, **kw)[0] for kw in (text, choice))
    assert one.discretization is other.discretization
    np.testing.assert_array_equal(one.log_poles, other.log_poles)
    np.testing.assert_array_equal(one.dt, other.dt)


def test_exp_given_as_text_is_the_exponential(tensors):
    (layer,) = ssmspec.read_spectra(tensors, dt_transform="exp")
    np.testing.assert_allclose(layer.dt, np.exp(tensors["layer.kernel.inv_dt"]), rtol=1e-12)


def test_reinit_writes_the_poles_of_the_rule_that_is_named(tensors, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, path)
    given = {"text": "bilinear", "choice": Discretization.BILINEAR}
    for name, rule in given.items():
        reinit(path, "s4d-lin", tmp_path / f"{name}.safetensors", discretization=rule)
    one, other = (load_file(tmp_path / f"{name}.safetensors") for name in given)
    for name in tensors:
        np.testing.assert_array_equal(one[name], other[name])


WRONG = [
    ({"dt_transform": "expp"}, "did you mean 'exp'"),
    ({"dt_transform": 3}, "one of exp, softplus"),
    ({"discretization": "euler"}, "zoh"),
    ({"seq_len": "1024"}, "a whole number"),
    ({"seq_len": 10.5}, "a whole number"),
    ({"seq_len": True}, "a whole number"),
    ({"sample_rate": "16k"}, "a number"),
    ({"layers": 3}, "text"),
    ({"layout": 3}, "a path"),
    ({"assume": 3}, "text"),
    ({"layer_rates": (3,)}, "pairs of a glob and a rate"),
]


@pytest.mark.parametrize(("options", "told"), WRONG)
def test_what_is_no_such_thing_is_refused_by_name(options, told):
    with pytest.raises(UsageError) as caught:
        Reading(**options)
    assert told in str(caught.value)
    assert next(iter(options)) in str(caught.value)


def test_what_stands_for_the_right_type_is_taken():
    reading = Reading(
        seq_len=np.int64(3), layout="page.toml", layer_rates=[("a.*", 8000)], assume="clip-eigs"
    )
    assert type(reading.seq_len) is int
    assert reading.layout == Path("page.toml")
    assert reading.layer_rates == (LayerRate("a.*", 8000.0),)
    assert reading.assume == ("clip-eigs",)


@pytest.mark.parametrize("use", [ssmspec.analyze, ssmspec.read_spectra])
def test_an_unknown_keyword_gets_the_nearest_name(tensors, use):
    with pytest.raises(UsageError, match="did you mean 'seq_len'"):
        use(tensors, seqlen=3)


def test_an_unknown_metric_gets_the_nearest_name(tensors):
    layer = ssmspec.analyze(tensors).layers[0]
    with pytest.raises(UsageError, match="did you mean 'coverage'"):
        layer.value("coverge")
    assert layer.value("memory_ratio") is None  # not applicable without a sequence length
