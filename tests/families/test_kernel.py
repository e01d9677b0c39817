"""B and C of every family against the kernels that their public code computes, written out here."""

import numpy as np
import pytest

from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families import FAMILIES
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.kernel import LayerKernel, MimoKernel, impulse_response
from ssmspec.outcome import NotApplicable
from ssmspec.reading import Discretization, DtTransform, Reading
from tests.examples.families import EXAMPLES

WITH_KERNELS = [key for key in EXAMPLES if FAMILIES[key.partition("/")[0]].read_kernel]
LENGTH = 40


def opened(tensors, reading):
    checkpoint = MemoryCheckpoint(tensors)
    layers, _ = find_layers(Catalog(checkpoint), reading)
    return [(layer, LayerSource(checkpoint, layer.site, reading)) for layer in layers]


def example_layers(key):
    example = EXAMPLES[key]()
    tensors = dict(example.tensors)
    if key.startswith("lru"):  # radii above 0.8 at the start; move gamma away from its init
        tensors |= {k: v + 0.1 for k, v in tensors.items() if k.endswith("gamma_log")}
    return tensors, example, opened(tensors, example.reading)


def pairs(values):
    return values if np.iscomplexobj(values) else values[..., 0] + 1j * values[..., 1]


def s4d_kernel(get, _):
    dt = np.exp(get("log_dt"))[:, None]
    A = -np.exp(get("log_A_real")) + 1j * get("A_imag")
    c = pairs(get("C")) * (np.exp(dt * A) - 1) / A
    K = dt[..., None] * A[..., None] * np.arange(LENGTH)
    return 2 * np.einsum("hn,hnl->hl", c, np.exp(K)).real[None]


def tied(values, channels):
    return values[np.arange(channels) % len(values)]


def diagonal_kernel(A, B, C, dt, is_zoh):
    dtA = dt * A
    if is_zoh:
        c, step = C * B * (np.exp(dtA) - 1) / A, dtA
    else:
        c, step = C * B * dt / (1 - dtA / 2), np.log((1 + dtA / 2) / (1 - dtA / 2))
    return 2 * np.einsum("shn,hnl->shl", c, np.exp(step[..., None] * np.arange(LENGTH))).real


def s4d_v3_kernel(get, reading):
    dt = np.exp(get("log_dt"))[:, None]
    A = tied(-np.exp(get("inv_A_real")) + 1j * get("A_imag"), len(dt))
    B = tied(pairs(get("B")), len(dt))
    return diagonal_kernel(A, B, pairs(get("C")), dt, reading.discretization == "zoh")


def s4d_v4_kernel(get, reading):
    dt = get("inv_dt")
    is_softplus = reading.dt_transform is DtTransform.SOFTPLUS
    dt = np.log1p(np.exp(dt)) if is_softplus else np.exp(dt)
    A, B, C = -np.exp(get("A_real")) + 0j, get("B"), get("C")
    if get("A_imag") is not None:
        A, B, C = A - 1j * get("A_imag"), pairs(B), pairs(C)
    A, B = tied(A, len(dt)), tied(B[0], len(dt))
    return diagonal_kernel(A, B, C, dt, reading.discretization != "bilinear")


def scan(poles_bar, B_bar, C):
    """Outputs of one impulse an input, state by state and step by step."""
    outs = []
    state = B_bar.copy()
    for _ in range(LENGTH):
        outs.append((C @ state).real)
        state = poles_bar[:, None] * state
    return np.stack(outs, axis=-1)


def s5_kernel(get, reading):
    is_jax = get("Lambda_re") is not None
    A = get("Lambda_re") + 1j * get("Lambda_im") if is_jax else pairs(get("Lambda"))
    dt = np.exp(get("log_step")).reshape(-1)
    is_pairs = not is_jax and not np.iscomplexobj(get("Lambda"))
    if reading.discretization is Discretization.BILINEAR or is_pairs:
        scale = 1 / (1 - dt * A / 2)
        poles_bar, B_bar = scale * (1 + dt * A / 2), (scale * dt)[:, None] * pairs(get("B"))
    else:
        poles_bar = np.exp(dt * A)
        B_bar = (1 / A * (poles_bar - 1))[:, None] * pairs(get("B"))
    balanced = np.sum(A.imag > 0) == np.sum(A.imag < 0)
    factor = 2 if is_jax and not balanced else 1
    if get("C1") is not None:
        parts = [factor * scan(poles_bar, B_bar, pairs(get(role))) for role in ("C1", "C2")]
        return np.concatenate(parts)
    return factor * scan(poles_bar, B_bar, pairs(get("C")))


def lru_kernel(get, _):
    poles_bar = np.exp(-np.exp(get("nu_log")) + 1j * np.exp(get("theta_log")))
    return scan(poles_bar, np.exp(get("gamma_log"))[:, None] * get("B"), get("C"))


PUBLIC = {
    "s4d": s4d_kernel,
    "s4d-v3": s4d_v3_kernel,
    "s4d-v4": s4d_v4_kernel,
    "s5": s5_kernel,
    "lru": lru_kernel,
}


def leaves(tensors, layer):
    anchor = next(iter(layer.site.tensors.values()))
    path = anchor[: len(anchor) - len(anchor.replace("/", ".").rpartition(".")[2])]
    return lambda leaf: tensors.get(path + leaf)


def test_these_families_have_kernels():
    assert {key.partition("/")[0] for key in WITH_KERNELS} >= set(PUBLIC)


@pytest.mark.parametrize("key", [key for key in WITH_KERNELS if key.partition("/")[0] in PUBLIC])
def test_kernels_are_those_of_the_public_code(key):
    tensors, example, layers = example_layers(key)
    assert layers
    for layer, source in layers:
        kernel = layer.family.read_kernel(source, layer.family.read(source))
        public = PUBLIC[key.partition("/")[0]](leaves(tensors, layer), example.reading)
        found = impulse_response(kernel, LENGTH)
        np.testing.assert_allclose(found, public, atol=1e-12 * np.abs(public).max())


@pytest.mark.parametrize("key", WITH_KERNELS)
def test_a_kernel_that_is_written_is_read_back(key):
    tensors, example, layers = example_layers(key)
    rng = np.random.default_rng(5)
    for layer, source in layers:
        family = layer.family
        wanted = example.vary(family.read(source), rng)
        made = family.read_kernel(source, wanted)
        if isinstance(made, LayerKernel):
            residues = rng.normal(size=made.residues.shape) + 0j
            if wanted.is_complex:
                residues = residues + 1j * rng.normal(size=residues.shape)
            kernel = LayerKernel(wanted, residues)
        else:
            shape = made.output_matrix.shape
            outputs = rng.normal(size=shape) + 1j * rng.normal(size=shape)
            kernel = MimoKernel(wanted, outputs, made.input_matrix)
        written = {**family.write(source, wanted), **family.write_kernel(source, kernel)}
        for name, values in written.items():
            assert values.shape == tensors[name].shape
        changed = LayerSource(MemoryCheckpoint({**tensors, **written}), layer.site, example.reading)
        found = family.read_kernel(changed, family.read(changed))
        first = impulse_response(kernel, LENGTH)
        np.testing.assert_allclose(
            impulse_response(found, LENGTH), first, atol=1e-8 * np.abs(first).max()
        )


@pytest.mark.parametrize("key", WITH_KERNELS)
def test_only_c_is_written(key):
    _, _, layers = example_layers(key)
    for layer, source in layers:
        kernel = layer.family.read_kernel(source, layer.family.read(source))
        written = layer.family.write_kernel(source, kernel)
        assert written
        for name, values in written.items():
            assert name.replace("/", ".").rpartition(".")[2].startswith("C")
            np.testing.assert_allclose(values, source.checkpoint.read(name), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("key", WITH_KERNELS)
def test_a_c_drawn_anew_fits_and_differs_by_the_seed(key):
    tensors, example, layers = example_layers(key)
    for layer, source in layers:
        spectrum = layer.family.read(source)
        one, two, again = (
            layer.family.reset_kernel(source, spectrum, np.random.default_rng(seed))
            for seed in (0, 1, 0)
        )
        for name, values in one.items():
            assert values.shape == tensors[name].shape
            assert not np.allclose(values, two[name])
            np.testing.assert_array_equal(values, again[name])
        changed = LayerSource(MemoryCheckpoint({**tensors, **one}), layer.site, example.reading)
        layer.family.read_kernel(changed, spectrum)


def s5_leaves(**leaves):
    rng = np.random.default_rng(7)
    P = 4
    return {
        "s.Lambda": -rng.random(P) + 1j * rng.normal(size=P),
        "s.log_step": np.log(rng.uniform(0.01, 0.1, P)),
    } | {f"s.{name}": rng.normal(size=shape) + 1j * rng.normal(size=shape)
         for name, shape in leaves.items()}  # fmt: skip


def test_s5_factorized():
    tensors = s5_leaves(BP=(4, 2), BH=(3, 2), CH=(2, 5), CP=(2, 4))
    [(layer, source)] = opened(tensors, Reading())
    dense = {key: tensors[key] for key in ("s.Lambda", "s.log_step")}
    dense["s.B"] = tensors["s.BP"] @ tensors["s.BH"].T
    dense["s.C"] = tensors["s.CH"].T @ tensors["s.CP"]
    [(_, plain)] = opened(dense, Reading())
    kernel = layer.family.read_kernel(source, layer.family.read(source))
    expected = layer.family.read_kernel(plain, layer.family.read(plain))
    np.testing.assert_allclose(impulse_response(kernel, 9), impulse_response(expected, 9))
    with pytest.raises(SchemeError, match="product of two factors"):
        layer.family.write_kernel(source, kernel)


def test_s5_backward_pass_in_the_columns_of_c():
    tensors = s5_leaves(B=(4, 3), C=(5, 8))
    [(layer, source)] = opened(tensors, Reading())
    kernel = layer.family.read_kernel(source, layer.family.read(source))
    np.testing.assert_array_equal(kernel.output_matrix[:5], tensors["s.C"][:, :4])
    np.testing.assert_array_equal(kernel.output_matrix[5:], tensors["s.C"][:, 4:])
    (written,) = layer.family.write_kernel(source, kernel).values()
    np.testing.assert_array_equal(written, tensors["s.C"])


@pytest.mark.parametrize(
    ("key", "change", "expected"),
    [
        ("s4d", {"C": None}, "C is not in the file"),
        ("s4d", {"C": np.ones((3, 4))}, "expected complex numbers or pairs"),
        ("s4d", {"C": np.ones((3, 5, 2))}, "does not fit 3 channels of 4 modes"),
        ("s4d", {"C": np.ones((0, 3, 4, 2))}, "do not fit"),
        ("s4d", {"C": np.ones((1, 1, 3, 4, 2))}, "does not fit"),
        ("s4d-v3", {"B": None}, "B is not in the file"),
        ("s4d-v3", {"B": np.ones((3, 3, 2))}, "do not divide 4 channels"),
        ("s4d-v4", {"B": np.ones((2, 6, 3, 2))}, "expected one row of modes"),
        ("s4d-v4/real", {"C": None}, "C is not in the file"),
        ("s4d-v4/real", {"C": np.ones((1, 6, 3), complex)}, "complex, expected real"),
        ("s5", {"C1": np.ones((4, 5, 2))}, "C1 and C2 do not have the same shape"),
        ("s5", {"C2": None}, "C2 is not in the file"),
        ("s5", {"B": np.ones((5, 4, 2))}, "do not fit 6 states"),
        ("s5", {"B": np.ones((6, 4, 2, 2))}, "expected a complex matrix"),
        ("lru", {"B": None}, "B is not in the file"),
        ("lru", {"gamma_log": np.ones(3)}, "gamma_log 3 values"),
        ("lru", {"C": np.ones(7, complex)}, "expected a complex matrix"),
    ],
)
def test_what_does_not_fit_is_the_reason_and_the_poles_are_still_read(key, change, expected):
    example = EXAMPLES[key]()
    layers, _ = find_layers(Catalog(MemoryCheckpoint(example.tensors)), example.reading)
    get_path = next(iter(layers[0].site.tensors.values()))
    path = get_path[: len(get_path) - len(get_path.replace("/", ".").rpartition(".")[2])]
    tensors = dict(example.tensors)
    for leaf, values in change.items():
        tensors.pop(path + leaf, None)
        if values is not None:
            tensors[path + leaf] = values
    checkpoint = MemoryCheckpoint(tensors)
    layer = find_layers(Catalog(checkpoint), example.reading)[0][0]
    spectrum = layer.read(checkpoint, example.reading)
    outcome = layer.read_kernel(checkpoint, example.reading, spectrum)
    assert isinstance(outcome, NotApplicable)
    assert expected in outcome.reason
    with pytest.raises(LayoutError):
        layer.family.read_kernel(LayerSource(checkpoint, layer.site, example.reading), spectrum)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e308])
@pytest.mark.parametrize("key", WITH_KERNELS)
def test_numbers_that_are_none_are_counted_without_a_warning(key, bad):
    tensors, example, _ = example_layers(key)
    for name in tensors:
        leaf = name.replace("/", ".").rpartition(".")[2]
        if leaf[0] in "BC":
            tensors[name] = np.full_like(tensors[name], bad)
    for layer, source in opened(tensors, example.reading):
        kernel = layer.family.read_kernel(source, layer.family.read(source))
        assert bad == 1e308 or kernel.non_finite > 0


def test_what_no_c_can_give_is_refused():
    tensors, example, layers = example_layers("s4d-v3")
    layer, source = layers[0]
    kernel = layer.family.read_kernel(source, layer.family.read(source))
    name = source.site.tensors["B"]
    silent = tensors[name].copy()
    silent[0, 0] = 0.0
    changed = LayerSource(MemoryCheckpoint({**tensors, name: silent}), layer.site, example.reading)
    with pytest.raises(SchemeError, match="no C gives it"):
        layer.family.write_kernel(changed, kernel)
    still = layer.family.read_kernel(changed, layer.family.read(changed))
    assert np.isfinite(layer.family.write_kernel(changed, still)[source.site.tensors["C"]]).all()


def test_a_kernel_of_another_kind_or_size_is_refused():
    _, _, [(v4, v4_source)] = example_layers("s4d-v4")
    _, _, s5_layers = example_layers("s5")
    s5, s5_source = s5_layers[0]
    siso = v4.family.read_kernel(v4_source, v4.family.read(v4_source))
    mimo = s5.family.read_kernel(s5_source, s5.family.read(s5_source))
    with pytest.raises(SchemeError, match="SISO channels, not one MIMO"):
        v4.family.write_kernel(v4_source, mimo)
    with pytest.raises(SchemeError, match="one MIMO system, not SISO"):
        s5.family.write_kernel(s5_source, siso)
    doubled = LayerKernel(siso.spectrum, np.concatenate([siso.residues] * 2))
    with pytest.raises(SchemeError, match="cannot hold residues"):
        v4.family.write_kernel(v4_source, doubled)
    other = MimoKernel(mimo.spectrum, mimo.output_matrix, 2 * mimo.input_matrix)
    with pytest.raises(SchemeError, match="another B"):
        s5.family.write_kernel(s5_source, other)
    _, _, [(real, real_source)] = example_layers("s4d-v4/real")
    kernel = real.family.read_kernel(real_source, real.family.read(real_source))
    turned = LayerKernel(kernel.spectrum, 1j * kernel.residues)
    with pytest.raises(SchemeError, match="real residues"):
        real.family.write_kernel(real_source, turned)
