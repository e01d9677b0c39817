"""S4 (DPLR): the poles are eigenvalues of the whole matrix, in every version's own convention."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from scipy.optimize import linear_sum_assignment

from ssmspec.checkpoints import open_checkpoint
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import LayoutError, SchemeError, UsageError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.families.s4_dplr import family as s4_dplr
from ssmspec.outcome import Skipped
from ssmspec.reading import DtTransform, Reading
from ssmspec.spectrum import Structure, Symmetry
from tests.examples import families_dplr as examples
from tests.examples.families_dplr import completed, dense, discretized, pairs

PPG = "s4_dplr_v4_ppg.pth"
V2 = "s4_nplr_v2.pth"


def sources(tensors, reading=None):
    checkpoint = tensors if hasattr(tensors, "tensors") else MemoryCheckpoint(tensors)
    reading = reading or Reading()
    layers, skipped = find_layers(Catalog(checkpoint), reading)
    assert not skipped
    assert {layer.family.id for layer in layers} == {"s4-dplr"}
    return [LayerSource(checkpoint, layer.site, reading) for layer in layers]


def source_of(tensors, reading=None):
    (source,) = sources(tensors, reading)
    return source


def example_source(example):
    return source_of(example.tensors, example.reading)


def matched(found, wanted):
    """The largest relative distance under the best one-to-one assignment."""
    distance = np.abs(found[:, None] - wanted[None, :])
    rows, columns = linear_sum_assignment(distance)
    return (distance[rows, columns] / np.abs(wanted[columns])).max()


def stored_v4(source):
    """(D, P, dt) of a v4 file, from the formulas of its code."""
    D = -np.exp(source.read("A_real")) - 1j * source.read("A_imag")
    P = source.read("P")
    return D, (P[..., 0] + 1j * P[..., 1])[0], np.exp(source.read("inv_dt"))


def legs(modes):
    """HiPPO-LegS as D (N,) of both signs and P (N,): its eigenvalues are -1, ..., -N."""
    n = np.arange(modes)
    p = np.sqrt(n + 0.5)
    A = -np.tril(np.sqrt(np.outer(2 * n + 1, 2 * n + 1)), -1) - np.diag(n + 1.0)
    normal = A + np.outer(p, p)
    frequencies, V = np.linalg.eigh(-0.5j * (normal - normal.T))
    return -0.5 + 1j * frequencies, V.conj().T @ p


def legs_layer(version, modes, dt=0.01, dtype=np.float64):
    """One channel as each version's code initializes it."""
    D, P = legs(modes)
    if version in ("annotated", "nnx"):
        leaves = {"Lambda_re": D.real, "Lambda_im": D.imag, "P": P, "log_step": np.log([dt])}
        axis = 0 if version == "nnx" else 1
        return {f"seq.{k}": np.expand_dims(v, axis) for k, v in leaves.items()}
    half = D.imag > 0
    D, P = D[half], P[half]
    low = pairs(P)[None, None]
    leaves = {
        "v1": {"w": pairs(D), "B": np.stack([low, low], 1)[0], "C": np.stack([low, low], 1)[0]},
        "v2": {"w": pairs(D)[None], "P": low, "Q": pairs(P.conj())[None, None]},
        "v2 tied": {"log_w_real": np.log(-D.real)[None], "w_imag": D.imag[None], "P": low},
        "v3": {"inv_w_real": np.log(-D.real)[None], "w_imag": D.imag[None], "P": low},
        "v4": {
            "A_real": np.log(-D.real)[None],
            "A_imag": D.imag[None],
            "P": pairs(P.conj())[None, None],
            "inv_dt": np.log([[dt]]),
        },
    }[version]
    if version == "v1":
        leaves["B"], leaves["C"] = (np.concatenate([low, low], axis=1) for _ in range(2))
    if version != "v4":
        leaves["log_dt"] = np.log([dt])
    module = "kernel.krylov" if version == "v1" else "kernel.kernel"
    return {f"{module}.{leaf}": np.asarray(v, dtype) for leaf, v in leaves.items()}


@pytest.mark.parametrize("version", ["v1", "v2", "v2 tied", "v3", "v4", "annotated", "nnx"])
@pytest.mark.parametrize("modes", [2, 4, 8])
def test_hippo_legs_has_its_eigenvalues_in_every_version(version, modes):
    spectrum = s4_dplr.read(source_of(legs_layer(version, modes)))
    assert spectrum.symmetry is Symmetry.FULL
    assert spectrum.structure is Structure.DPLR
    poles = 2 / 0.01 * np.tanh(spectrum.log_poles / 2)
    expected = -np.arange(1.0, modes + 1)
    assert matched(poles[0], expected) < 1e-8
    assert not [text for text in spectrum.assumptions if "unreliable" in text]


def test_real_poles_go_to_the_two_halves_in_turn():
    spectrum = s4_dplr.read(source_of(legs_layer("v3", 8)))
    poles = (2 / 0.01 * np.tanh(spectrum.log_poles / 2)).real[0]
    np.testing.assert_allclose(poles, [-1, -3, -5, -7, -2, -4, -6, -8], rtol=1e-8)


def test_legs_of_64_states_is_beyond_float64_and_said_to_be():
    spectrum = s4_dplr.read(source_of(legs_layer("v4", 64)))
    poles = 2 / 0.01 * np.tanh(spectrum.log_poles / 2)
    assert matched(poles[0], -np.arange(1.0, 65)) > 0.1  # nobody's eigenvalues are -1 .. -64
    assert spectrum.condition.max() > 1e12
    (text,) = [text for text in spectrum.assumptions if "unreliable" in text]
    assert "of 64 poles, in 1 of 1 heads" in text
    assert text.startswith("kernel.kernel: ")
    assert "float32" in text


def test_ppg_poles_are_the_eigenvalues_of_the_discretized_matrix(shared):
    with open_checkpoint(shared / PPG) as checkpoint:
        for source in sources(checkpoint):
            spectrum = s4_dplr.read(source)
            D, P, dt = stored_v4(source)
            assert spectrum.shape == (128, 64)
            assert not [text for text in spectrum.assumptions if "unreliable" in text]
            for h in range(0, 128, 4):
                A = dense(completed(D[h]), [completed(P[h])], [completed(P[h].conj())])
                wanted = scipy.linalg.eigvals(discretized(A, dt[h]))
                assert matched(np.exp(spectrum.log_poles[h]), wanted) < 1e-10
            assert (spectrum.decay > 0).all()


def test_ppg_reaches_far_below_its_diagonal(shared):
    with open_checkpoint(shared / PPG) as checkpoint:
        source = sources(checkpoint)[0]
        spectrum = s4_dplr.read(source)
        D, _, dt = stored_v4(source)
    assert D.real.min() == pytest.approx(-35.6, abs=0.01)
    assert D[32].real.min() == pytest.approx(-1.04, abs=0.01)
    poles = 2 / dt * np.tanh(spectrum.log_poles / 2)
    head, _ = np.unravel_index(poles.real.argmin(), poles.shape)
    assert head == 32
    assert poles.real.min() == pytest.approx(-2693.45, abs=0.01)


def test_v2_is_stable_in_its_own_convention_and_not_in_the_other(shared):
    with open_checkpoint(shared / V2) as checkpoint:
        for source in sources(checkpoint):
            assert source.site.variant == "v2"
            assert (s4_dplr.read(source).decay > 0).all()
            w, P, Q = (source.read(role) for role in "wPQ")
            w, P, Q = (v[..., 0] + 1j * v[..., 1] for v in (w, P[0], Q[0]))
            own = dense(completed(w[3]), [completed(P[3])], [completed(Q[3])])
            other = dense(completed(w[3]), [completed(P[3])], [completed(Q[3].conj())])
            poles = np.linalg.eigvals(own)
            assert poles.real.min() == pytest.approx(-266.45, abs=0.01)
            assert poles.real.max() < -0.99
            assert np.linalg.eigvals(other).real.max() > 800


def test_channels_of_one_row_differ_by_their_step_size_only():
    spectrum = s4_dplr.read(example_source(examples.v4(2)))
    poles = 2 / spectrum.dt * np.tanh(spectrum.log_poles / 2)
    np.testing.assert_allclose(poles[0], poles[2], rtol=1e-12)
    assert np.abs(poles[0] - poles[1]).max() > 0.1


def test_v1_may_share_its_diagonal():
    example = examples.v1(shared=True)
    source = example_source(example)
    ((name, wanted),) = example.log_poles.items()
    np.testing.assert_allclose(s4_dplr.read(source).log_poles, wanted, rtol=1e-12, atol=1e-12)
    varied = example.vary(s4_dplr.read(source), np.random.default_rng(0))
    written = s4_dplr.write(source, varied)
    assert written[f"{name}.w"].shape == (examples.MODES, 2)
    changed = s4_dplr.read(source_of({**example.tensors, **written}))
    np.testing.assert_allclose(changed.log_poles, varied.log_poles, rtol=1e-9)
    apart = replace(varied, log_poles=varied.log_poles * np.linspace(1, 1.1, 6)[:, None])
    with pytest.raises(SchemeError, match="ties A across channels"):
        s4_dplr.write(source, apart)


def test_v1_may_share_b_and_p():
    example = examples.v1()
    name = next(iter(example.log_poles))
    shared = {**example.tensors, f"{name}.B": example.tensors[f"{name}.B"][0]}
    tiled = {**example.tensors, f"{name}.B": np.tile(shared[f"{name}.B"], (6, 1, 1, 1))}
    np.testing.assert_array_equal(
        s4_dplr.read(source_of(shared)).log_poles, s4_dplr.read(source_of(tiled)).log_poles
    )


def test_v1_is_known_by_its_module():
    tensors = {n.replace("krylov", "other"): v for n, v in examples.v1().tensors.items()}
    layers, _ = find_layers(Catalog(MemoryCheckpoint(tensors)), Reading())
    assert not layers


def test_a_single_channel_of_annotated_s4():
    example = examples.jax("one")
    source = example_source(example)
    ((_, wanted),) = example.log_poles.items()
    np.testing.assert_allclose(s4_dplr.read(source).log_poles, wanted, rtol=1e-12, atol=1e-12)
    assert s4_dplr.write(source, s4_dplr.read(source))["params/layers_0/seq/P"].shape == (8,)


def test_channels_first_and_last_are_the_same_layer():
    last = examples.jax("annotated")
    first = {
        name: np.swapaxes(values, 0, 1) if "seq" in name else values
        for name, values in last.tensors.items()
    }
    np.testing.assert_array_equal(
        s4_dplr.read(source_of(first)).log_poles, s4_dplr.read(source_of(last.tensors)).log_poles
    )


def test_nnx_clips_step_sizes():
    example = examples.jax("nnx")
    (name,) = example.log_poles
    path = name.replace(".", "/")
    steps = np.log(np.array([[1e-4], [1e-3], [0.1], [0.5], [1.0], [3.0]]))
    spectrum = s4_dplr.read(source_of({**example.tensors, f"{path}/log_step": steps}))
    np.testing.assert_allclose(spectrum.dt[:, 0], [1e-3, 1e-3, 0.1, 0.5, 1.0, 1.0])
    source = example_source(example)
    wanted = example.vary(s4_dplr.read(source), np.random.default_rng(0))
    with pytest.raises(SchemeError, match="clips step sizes"):
        s4_dplr.write(source, replace(wanted, dt=wanted.dt / 100))


def test_writing_makes_the_matrix_diagonal_and_keeps_b_and_c():
    for key in ("s4-dplr", "s4-dplr/v2", "s4-dplr/v1", "s4-dplr/annotated"):
        example = examples.EXAMPLES[key]()
        source = example_source(example)
        varied = example.vary(s4_dplr.read(source), np.random.default_rng(1))
        written = s4_dplr.write(source, varied)
        low_rank = {name: v for name, v in written.items() if name[-1] in "PQ"}
        if key == "s4-dplr/v1":
            name = next(iter(example.log_poles))
            low_rank = {leaf: written[f"{name}.{leaf}"][:, 1:] for leaf in "BC"}
            for leaf in "BC":
                kept, before = written[f"{name}.{leaf}"], example.tensors[f"{name}.{leaf}"]
                np.testing.assert_array_equal(kept[:, :1], before[:, :1])
        else:
            assert not [name for name in written if name[-1] in "BC"]
        assert low_rank
        assert not any(values.any() for values in low_rank.values())


def test_one_half_must_be_the_conjugates_of_the_other():
    example = examples.v3()
    source = example_source(example)
    varied = example.vary(s4_dplr.read(source), np.random.default_rng(2))
    turned = varied.log_poles.copy()
    turned[0, 0] = turned[0, 0].conj()
    with pytest.raises(SchemeError, match="conjugates"):
        s4_dplr.write(source, replace(varied, log_poles=turned))
    half = replace(varied, log_poles=varied.log_poles[:, : examples.MODES])
    with pytest.raises(SchemeError, match="shape"):
        s4_dplr.write(source, half)
    with pytest.raises(SchemeError, match="symmetry full"):
        s4_dplr.write(source, replace(varied, symmetry=Symmetry.HALF))


def test_what_a_version_cannot_hold_is_refused():
    growing = {"s4-dplr": "logarithm of its damping", "s4-dplr/nnx": "less damping"}
    for key, words in growing.items():
        example = examples.EXAMPLES[key]()
        source = example_source(example)
        varied = example.vary(s4_dplr.read(source), np.random.default_rng(3))
        with pytest.raises(SchemeError, match=words):
            s4_dplr.write(source, replace(varied, log_poles=varied.log_poles + 3.0))
    source = example_source(examples.v2())  # w is free
    example = examples.v2()
    varied = example.vary(s4_dplr.read(source), np.random.default_rng(3))
    wanted = replace(varied, log_poles=varied.log_poles + 3.0)
    changed = source_of({**example.tensors, **s4_dplr.write(source, wanted)})
    np.testing.assert_allclose(s4_dplr.read(changed).log_poles, wanted.log_poles, rtol=1e-9)


def test_only_v4_has_a_step_size_transform():
    reading = Reading(dt_transform=DtTransform.SOFTPLUS)
    s4_dplr.read(source_of(examples.v4().tensors, reading))
    for build in (examples.v3, examples.v2, examples.v1, lambda: examples.jax("nnx")):
        with pytest.raises(UsageError, match="softplus"):
            s4_dplr.read(source_of(build().tensors, reading))


def test_huge_matrices_are_not_solved():
    modes = 1 + s4_dplr.MAX_STATES // 2
    tensors = {
        "kernel.A_real": np.zeros((1, modes)),
        "kernel.A_imag": np.zeros((1, modes)),
        "kernel.P": np.ones((1, 1, modes, 2)),
        "kernel.inv_dt": np.zeros((2, 1)),
    }
    checkpoint = MemoryCheckpoint(tensors)
    (layer,), _ = find_layers(Catalog(checkpoint), Reading())
    found = layer.read(checkpoint, Reading())
    assert isinstance(found, Skipped)
    assert "1,026 states" in found.reason


def test_stale_buffers_are_ignored():
    example = examples.v2()
    (name,) = example.log_poles
    stale = {**example.tensors, f"{name}.z": np.full((33, 2), np.nan)}
    np.testing.assert_array_equal(
        s4_dplr.read(source_of(stale)).log_poles, s4_dplr.read(example_source(example)).log_poles
    )


def test_a_layer_named_twice_is_written_twice():
    example = examples.v4(module="blocks.0.ssm", second="layer.kernel")
    source = example_source(example)
    varied = example.vary(s4_dplr.read(source), np.random.default_rng(4))
    written = s4_dplr.write(source, varied)
    for leaf in ("A_real", "A_imag", "P", "inv_dt"):
        np.testing.assert_array_equal(
            written[f"blocks.0.ssm.{leaf}"], written[f"blocks.0.ssm.layer.kernel.{leaf}"]
        )


def test_shapes_that_do_not_fit_are_layout_errors():
    example = examples.jax("annotated")
    path = "params/layers_0/seq"
    for shape in ((6,), (6, 2), (1, 5), ()):
        tensors = {**example.tensors, f"{path}/log_step": np.zeros(shape)}
        with pytest.raises(LayoutError, match="log_step"):
            s4_dplr.read(source_of(tensors))
