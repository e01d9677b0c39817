"""S4 (DPLR) as poles and residues, against the recurrence of the dense discretized matrix."""

from dataclasses import replace

import numpy as np
import pytest

from ssmspec.checkpoints import open_checkpoint
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.s4_dplr import family as s4_dplr
from ssmspec.kernel import LayerKernel, MimoKernel, impulse_response
from ssmspec.reading import Reading
from ssmspec.units import TWO_PI
from tests.examples import families_dplr as examples
from tests.examples.families_dplr import completed, dense, discretized
from tests.families.s4_dplr.test_family import (
    PPG,
    V2,
    example_source,
    legs_layer,
    source_of,
    sources,
)

LAGS = 100
LENGTH = 64


def complex_of(values):
    return values[..., 0] + 1j * values[..., 1]


def recurrence(A, B, C_tilde, dt, length, lags):
    """K[k] = C A_bar^k B_bar of one channel, with C = C~ (I - A_bar^L)^-1 solved densely."""
    A_bar = discretized(A, dt)
    eye = np.eye(len(A))
    state = np.linalg.solve(eye - np.reshape(dt, (-1, 1)) * A / 2, dt * B)
    C = C_tilde
    if length:
        C = np.linalg.solve((eye - np.linalg.matrix_power(A_bar, length)).T, C_tilde)
    kernel = []
    for _ in range(lags):
        kernel.append(C @ state)
        state = A_bar @ state
    return np.array(kernel)


def by_torch_code(example, channel, lags=LAGS, length=LENGTH):
    """The kernels of one channel of a torch version, (K, lags)."""
    (name,) = example.log_poles
    leaves = {n.rpartition(".")[2]: v for n, v in example.tensors.items() if n.startswith(name)}
    h = channel
    if "A_real" in leaves:
        rows = h % len(leaves["A_real"])
        D = -np.exp(leaves["A_real"][rows]) - 1j * leaves["A_imag"][rows]
        P = complex_of(leaves["P"])[:, rows]
        Q = P.conj()
    elif "w_imag" in leaves:
        (real,) = (v for n, v in leaves.items() if n.endswith("w_real"))
        rows = h % len(real)
        D = -np.exp(real[rows]) + 1j * leaves["w_imag"][rows]
        P = complex_of(leaves["P"])[:, rows]
        Q = P.conj()
    elif "Q" in leaves:
        rows = h
        D = complex_of(leaves["w"])[h]
        P, Q = complex_of(leaves["P"])[:, h], complex_of(leaves["Q"])[:, h]
    if "krylov" in name:
        D = complex_of(leaves["w"])[h]
        stack, out = complex_of(leaves["B"])[h], complex_of(leaves["C"])[h]
        B, P, Q = stack[0], stack[1:], out[1:].conj()
        C = out[:1].conj()
    else:
        B, C = complex_of(leaves["B"])[0, rows], complex_of(leaves["C"])[:, h]
    dt = example.dt[name][h]
    A = dense(completed(D), [completed(v) for v in P], [completed(v) for v in Q])
    return np.array(
        [recurrence(A, completed(B), completed(row), dt, length, lags).real for row in C]
    )


TORCH = [key for key in examples.EXAMPLES if not key.endswith(("annotated", "nnx"))]


def kernel_of(example):
    source = example_source(example)
    return source, s4_dplr.read_kernel(source, s4_dplr.read(source))


def assert_close(found, wanted, tolerance=1e-9):
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("key", TORCH)
def test_poles_and_residues_make_the_kernel_of_the_recurrence(key):
    example = examples.EXAMPLES[key]()
    _, kernel = kernel_of(example)
    found = impulse_response(kernel, LAGS)
    for h in range(examples.CHANNELS):
        assert_close(found[:, h], by_torch_code(example, h))


@pytest.mark.parametrize("form", ["annotated", "nnx", "one"])
def test_jax_kernels_are_those_of_the_recurrence(form):
    example = replace(examples.jax(form), reading=Reading(seq_len=50))
    _, kernel = kernel_of(example)
    found = impulse_response(kernel, LAGS)
    path = "params/layers_0/seq/"
    leaves = {n.removeprefix(path): v for n, v in example.tensors.items() if n.startswith(path)}
    if form == "annotated":
        leaves = {leaf: np.swapaxes(v, 0, 1) for leaf, v in leaves.items()}
    if form == "one":
        leaves = {leaf: v[None] for leaf, v in leaves.items()}
    C = complex_of(leaves["C_real_imag" if form == "nnx" else "C"])
    for h in range(len(C)):
        D = np.minimum(leaves["Lambda_re"][h], -1e-4) + 1j * leaves["Lambda_im"][h]
        P = leaves["P"][h]
        A = dense(D, [P], [P.conj()])
        dt = np.exp(leaves["log_step"][h])
        wanted = recurrence(A, leaves["B"][h], C[h].conj(), dt, 50, LAGS)
        assert_close(found[0, h], wanted.real)


@pytest.mark.parametrize("bad", [np.array(np.nan), np.array(-1), np.zeros(0), np.ones(2)])
def test_a_length_that_is_none_is_a_layout_error(bad):
    example = examples.v4()
    (name,) = example.log_poles
    source = source_of({**example.tensors, f"{name}.l_kernel": bad})
    with pytest.raises(LayoutError, match="l_kernel is not a length"):
        s4_dplr.read_kernel(source, s4_dplr.read(source))


def test_a_length_from_an_option_is_an_assumption():
    told = "taken as --seq-len"
    for example, says in (
        (examples.v4(), False),
        (examples.v1(), False),
        (examples.jax("nnx"), True),
    ):
        for seq_len in (None, 50):
            spectrum = s4_dplr.read(source_of(example.tensors, Reading(seq_len=seq_len)))
            assert any(told in text for text in spectrum.assumptions) is (says and seq_len == 50)


def test_jax_does_not_say_the_length():
    example = examples.jax("annotated")
    source = example_source(example)
    with pytest.raises(LayoutError, match="--seq-len"):
        s4_dplr.read_kernel(source, s4_dplr.read(source))


def test_a_layer_that_never_ran_holds_c_itself():
    example = examples.v4()
    (name,) = example.log_poles
    example.tensors[f"{name}.l_kernel"] = np.array(0)
    _, kernel = kernel_of(example)
    wanted = by_torch_code(example, 2, length=0)
    assert_close(impulse_response(kernel, LAGS)[:, 2], wanted)


def test_c_tilde_is_what_gives_l_lags_at_l_roots_of_unity():
    """The original's algorithm: values of C~ (I - A_bar z)^-1 B_bar at the roots, transformed."""
    example = examples.v3()
    (name,) = example.log_poles
    _, kernel = kernel_of(example)
    found = impulse_response(kernel, LENGTH)[0]
    leaf = {n.rpartition(".")[2]: v for n, v in example.tensors.items()}
    for h, dt in enumerate(example.dt[name]):
        D = -np.exp(leaf["inv_w_real"][h]) + 1j * leaf["w_imag"][h]
        P = [completed(v) for v in complex_of(leaf["P"])[:, h]]
        A = dense(completed(D), P, [v.conj() for v in P])
        A_bar, eye = discretized(A, dt), np.eye(len(A))
        B_bar = np.linalg.solve(eye - dt * A / 2, dt * completed(complex_of(leaf["B"])[0, h]))
        C_tilde = completed(complex_of(leaf["C"])[0, h])
        roots = np.exp(-1j * TWO_PI * np.arange(LENGTH) / LENGTH)
        values = [C_tilde @ np.linalg.solve(eye - A_bar * z, B_bar) for z in roots]
        assert_close(found[h], np.fft.ifft(values).real)


def test_ppg_kernel_is_that_of_the_dense_recurrence(shared):
    with open_checkpoint(shared / PPG) as checkpoint:
        source = sources(checkpoint)[0]
        assert int(source.read("l_kernel")) == 3000
        kernel = s4_dplr.read_kernel(source, s4_dplr.read(source))
        D = -np.exp(source.read("A_real")) - 1j * source.read("A_imag")
        P, B, C = (complex_of(source.read(role))[0] for role in "PBC")
        dt = np.exp(source.read("inv_dt"))
    found = impulse_response(kernel, 400)[0]
    for h in (0, 32, 63, 94, 127):
        A = dense(completed(D[h]), [completed(P[h])], [completed(P[h].conj())])
        wanted = recurrence(A, completed(B[h]), completed(C[h]), dt[h], 3000, 400)
        assert np.abs(wanted.imag).max() < 1e-9 * np.abs(wanted).max()
        assert_close(found[h], wanted.real)


def test_v2_kernel_survives_condition_numbers_of_a_million(shared):
    with open_checkpoint(shared / V2) as checkpoint:
        source = sources(checkpoint)[0]
        spectrum = s4_dplr.read(source)
        kernel = s4_dplr.read_kernel(source, spectrum)
        w, P, Q, B, C = (complex_of(source.read(role)) for role in "wPQBC")
        dt = np.exp(source.read("log_dt"))[:, None]
    assert spectrum.condition.max() > 8e5
    found = impulse_response(kernel, 256)
    for h in (0, 40):
        A = dense(completed(w[h]), [completed(P[0, h])], [completed(Q[0, h])])
        for row in range(2):
            wanted = recurrence(A, completed(B[0, h]), completed(C[row, h]), dt[h], 256, 256)
            assert_close(found[row, h], wanted.real, 1e-7)


def test_eigenvectors_that_are_nearly_dependent_give_no_residues():
    rng = np.random.default_rng(61)
    tensors = legs_layer("v3", 64) | {
        "kernel.kernel.B": rng.normal(size=(1, 1, 32, 2)),
        "kernel.kernel.C": rng.normal(size=(1, 1, 32, 2)),
        "kernel.kernel.L": np.array(1024),
    }
    source = source_of(tensors)
    with pytest.raises(LayoutError, match="nearly dependent"):
        s4_dplr.read_kernel(source, s4_dplr.read(source))


@pytest.mark.parametrize("key", examples.EXAMPLES)
def test_a_kernel_is_written_and_read_back(key):
    """At the layer's own poles, and at others that are written as well."""
    example = replace(examples.EXAMPLES[key]())
    if key.endswith(("annotated", "nnx")):
        example = replace(example, reading=replace(example.reading, seq_len=50))
    source = example_source(example)
    rng = np.random.default_rng(62)
    own = s4_dplr.read(source)
    for spectrum in (own, example.vary(own, rng)):
        kernel = s4_dplr.read_kernel(source, spectrum)
        factor = rng.uniform(0.5, 2.0, (*kernel.residues.shape[:2], 1))
        wanted = LayerKernel(spectrum, kernel.residues * factor)
        written = {**s4_dplr.write(source, spectrum), **s4_dplr.write_kernel(source, wanted)}
        changed = source_of({**example.tensors, **written}, example.reading)
        found_spectrum = s4_dplr.read(changed)
        np.testing.assert_allclose(found_spectrum.log_poles, spectrum.log_poles, rtol=1e-9)
        found = s4_dplr.read_kernel(changed, found_spectrum)
        assert_close(found.residues, wanted.residues, 1e-8)
        assert set(s4_dplr.write_kernel(source, wanted)) <= set(source.site.tensors.values())


def test_b_and_c_stay_where_only_poles_change():
    """Residues of poles that will be written are those that are read afterwards."""
    for key in ("s4-dplr", "s4-dplr/v1", "s4-dplr/v2"):
        example = examples.EXAMPLES[key]()
        source = example_source(example)
        varied = example.vary(s4_dplr.read(source), np.random.default_rng(63))
        before = s4_dplr.read_kernel(source, varied)
        changed = source_of({**example.tensors, **s4_dplr.write(source, varied)}, example.reading)
        after = s4_dplr.read_kernel(changed, s4_dplr.read(changed))
        assert_close(after.residues, before.residues, 1e-8)


@pytest.mark.parametrize("key", examples.EXAMPLES)
def test_a_fresh_c_is_as_stored_and_of_variance_one(key):
    example = examples.EXAMPLES[key]()
    if key.endswith(("annotated", "nnx")):
        example = replace(example, reading=replace(example.reading, seq_len=50))
    source = example_source(example)
    rng = np.random.default_rng(64)
    spectrum = s4_dplr.read(source)
    squares = []
    for _ in range(200):
        tensors = {**example.tensors, **s4_dplr.reset_kernel(source, spectrum, rng)}
        for name, values in tensors.items():
            assert values.shape == example.tensors[name].shape
        (role,) = (r for r in ("C_real_imag", "C") if source.has(r))
        C = complex_of(tensors[source.site.tensors[role]])
        if key.startswith("s4-dplr/v1"):
            np.testing.assert_array_equal(
                tensors[source.site.tensors["C"]][:, 1:],
                example.tensors[source.site.tensors["C"]][:, 1:],
            )
            C = C[:, 0]
        squares.append(np.mean(np.abs(C) ** 2))
    # C~ = C (I - A_bar^64) is C but for what is left after 64 samples
    assert 0.7 < np.mean(squares) < 1.4


def test_residues_of_no_real_kernel_are_refused():
    example = examples.v4()
    source, kernel = kernel_of(example)
    turned = kernel.residues.copy()
    turned[0, 0, 0] *= 1j
    with pytest.raises(SchemeError, match="conjugate pairs"):
        s4_dplr.write_kernel(source, LayerKernel(kernel.spectrum, turned))
    more = np.concatenate([kernel.residues] * 2)
    with pytest.raises(SchemeError, match="shape"):
        s4_dplr.write_kernel(source, LayerKernel(kernel.spectrum, more))


def test_a_mimo_kernel_or_a_silent_input_is_refused():
    example = examples.v2()
    (name,) = example.log_poles
    source, kernel = kernel_of(example)
    spectrum = replace(kernel.spectrum, log_poles=kernel.spectrum.log_poles[:1], dt=None)
    mimo = MimoKernel(spectrum, np.ones((1, 8), complex), np.ones((8, 1), complex))
    with pytest.raises(SchemeError, match="MIMO"):
        s4_dplr.write_kernel(source, mimo)
    silent = source_of({**example.tensors, f"{name}.B": np.zeros((1, 6, 4, 2))})
    with pytest.raises(SchemeError, match="B of a mode is 0"):
        s4_dplr.write_kernel(silent, kernel)


@pytest.mark.parametrize(
    ("leaf", "shape"),
    [("C", (2, 6, 5, 2)), ("C", (6, 4, 2)), ("B", (1, 6, 3, 2)), ("B", (6,)), ("C", (2, 6, 4))],
)
def test_b_or_c_that_do_not_fit_are_layout_errors(leaf, shape):
    example = examples.v4()
    (name,) = example.log_poles
    source = source_of({**example.tensors, f"{name}.{leaf}": np.zeros(shape)})
    with pytest.raises(LayoutError, match=f"{name}.{leaf}"):
        s4_dplr.read_kernel(source, s4_dplr.read(source))


def test_a_layer_without_c_has_poles_and_no_kernel():
    example = examples.v4()
    (name,) = example.log_poles
    del example.tensors[f"{name}.C"]
    source = example_source(example)
    spectrum = s4_dplr.read(source)
    with pytest.raises(LayoutError, match="C is not in the file"):
        s4_dplr.read_kernel(source, spectrum)
