"""A realistic checkpoint for every layout of the diagonal families, with its poles worked out here.

The expected log-poles come from loops over Python complex numbers and the formulas of the original
code, not from the package. Keys of EXAMPLES are family ids, or "id/layout" for further layouts.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ssmspec.reading import Discretization, DtTransform, Reading
from ssmspec.spectrum import LayerSpectrum

Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Example:
    """A checkpoint, what must be found in it, and a generator of spectra its layers can hold.

    `log_poles` and `dt` are by layer name, (H, M) and the shape that broadcasts to it.
    """

    tensors: Tensors
    log_poles: dict[str, np.ndarray]
    dt: dict[str, np.ndarray]
    vary: Callable[[LayerSpectrum, np.random.Generator], LayerSpectrum]
    reading: Reading = field(default_factory=Reading)


def zoh(poles, dt):
    return elementwise(lambda pole, step: step * pole, poles, dt)


def bilinear(poles, dt):
    return elementwise(
        lambda pole, step: cmath.log((1 + step * pole / 2) / (1 - step * pole / 2)), poles, dt
    )


def elementwise(function, poles, dt):
    steps = np.broadcast_to(dt, poles.shape)
    out = np.empty(poles.shape, dtype=np.complex128)
    for index in np.ndindex(poles.shape):
        out[index] = function(complex(poles[index]), float(steps[index]))
    return out


def drawn_dt(spectrum, rng):
    return (
        None if spectrum.dt is None else spectrum.dt * np.exp(rng.normal(0, 0.5, spectrum.dt.shape))
    )


def oscillating(limit: float, signs=(-1.0, 1.0), smallest_decay=1e-5):
    """Random decays over five decades and random angles up to `limit` rad/sample."""

    def vary(spectrum, rng):
        decay = np.exp(rng.uniform(math.log(smallest_decay), math.log(2.0), spectrum.shape))
        omega = rng.uniform(0.0, limit, spectrum.shape) * rng.choice(signs, spectrum.shape)
        return replace(spectrum, log_poles=-decay + 1j * omega, dt=drawn_dt(spectrum, rng))

    return vary


def tied(rows: int, limit: float):
    """One random A for each row of a tied layer, the same in every channel that uses the row."""

    def vary(spectrum, rng):
        dt = drawn_dt(spectrum, rng)
        real = -np.exp(rng.uniform(-3, 1, (rows, spectrum.modes)))
        imag = rng.uniform(-limit, limit, (rows, spectrum.modes)) / dt.max()
        poles = (real + 1j * imag)[np.arange(spectrum.channels) % rows]
        make = bilinear if spectrum.discretization is Discretization.BILINEAR else zoh
        return replace(spectrum, log_poles=make(poles, dt), dt=dt)

    return vary


def decaying(spectrum, rng):
    """Real poles."""
    decay = np.exp(rng.uniform(-9, 1, spectrum.shape))
    return replace(spectrum, log_poles=-decay + 0j, dt=drawn_dt(spectrum, rng))


def log_uniform(rng, low, high, shape):
    return np.exp(rng.uniform(math.log(low), math.log(high), shape))


def s4d() -> Example:
    rng = np.random.default_rng(11)
    tensors: Tensors = {"encoder.weight": rng.normal(size=(3, 1)), "decoder.bias": np.zeros(2)}
    log_poles, dts = {}, {}
    for layer, (channels, modes) in enumerate([(3, 4), (3, 4), (2, 5)]):
        dt = log_uniform(rng, 1e-3, 1e-1, channels)
        real = log_uniform(rng, 0.2, 1.0, (channels, modes))
        imag = math.pi * np.arange(modes) + rng.normal(0, 0.3, (channels, modes))
        name = f"s4_layers.{layer}.kernel"
        tensors |= {
            f"{name}.log_dt": np.log(dt),
            f"{name}.log_A_real": np.log(real),
            f"{name}.A_imag": imag,
            f"{name}.C": rng.normal(size=(channels, modes, 2)),
            f"s4_layers.{layer}.D": rng.normal(size=channels),
            f"s4_layers.{layer}.output_linear.0.weight": rng.normal(
                size=(2 * channels, channels, 1)
            ),
            f"norms.{layer}.weight": np.ones(channels),
        }
        log_poles[name] = zoh(-real + 1j * imag, dt[:, None])
        dts[name] = dt[:, None]
    return Example(tensors, log_poles, dts, oscillating(9.0))


def s4d_v3(rows: int, reading: Reading) -> Example:
    rng = np.random.default_rng(12)
    channels, modes = 4, 3
    dt = log_uniform(rng, 1e-3, 0.5, channels)
    real = log_uniform(rng, 0.2, 1.0, (rows, modes))
    imag = math.pi * np.arange(modes) * 4 + rng.normal(0, 0.3, (rows, modes))
    name = "model.layers.0.layer.kernel.kernel"
    tensors = {
        f"{name}.C": rng.normal(size=(1, channels, modes, 2)),
        f"{name}.log_dt": np.log(dt),
        f"{name}.A": rng.normal(size=(rows, modes, 2)),  # the stale copy
        f"{name}.B": rng.normal(size=(rows, modes, 2)),
        f"{name}.inv_A_real": np.log(real),
        f"{name}.A_imag": imag,
        "model.layers.0.layer.D": rng.normal(size=(1, channels)),
    }
    by_channel = (-real + 1j * imag)[np.arange(channels) % rows]
    is_zoh = reading.discretization is Discretization.ZOH
    log_poles = (zoh if is_zoh else bilinear)(by_channel, dt[:, None])
    limit = 5.0 if is_zoh else 3.0
    vary = oscillating(limit) if rows == channels else tied(rows, limit)
    return Example(tensors, {name: log_poles}, {name: dt[:, None]}, vary, reading)


def s4d_v4(
    rows: int,
    reading: Reading,
    *,
    per_mode: bool = False,
    real: bool = False,
    module: str = "s4_layers.0.layer.kernel",
    second: str = "",
) -> Example:
    rng = np.random.default_rng(13)
    channels, modes = 6, 3
    dt = log_uniform(rng, 1e-3, 0.3, (channels, modes if per_mode else 1))
    is_softplus = reading.dt_transform is DtTransform.SOFTPLUS
    A_real = log_uniform(rng, 0.2, 1.0, (rows, modes))
    A_imag = math.pi * np.arange(modes) * 5 + rng.normal(0, 0.3, (rows, modes))
    part = () if real else (2,)
    leaves = {
        "inv_dt": np.log(np.exp(dt) - 1) if is_softplus else np.log(dt),
        "A_real": np.log(A_real),
        "A_imag": A_imag,
        "B": rng.normal(size=(1, rows, modes, *part)),
        "C": rng.normal(size=(1, channels, modes, *part)),
    }
    if real:
        del leaves["A_imag"]
        A_imag = np.zeros((rows, modes))
    tensors = {f"{module}.{leaf}": values for leaf, values in leaves.items()}
    if second:
        tensors |= {f"{module}.{second}.{leaf}": values for leaf, values in leaves.items()}
    tensors[module.rpartition(".")[0] + ".D"] = rng.normal(size=(1, channels))
    poles = (-A_real - 1j * A_imag)[np.arange(channels) % rows]
    is_bilinear = reading.discretization is Discretization.BILINEAR
    log_poles = (bilinear if is_bilinear else zoh)(poles, dt)
    limit = 3.0 if is_bilinear else 9.0
    vary = decaying if real else oscillating(limit) if rows == channels else tied(rows, limit)
    return Example(tensors, {module: log_poles}, {module: dt}, vary, reading)


def s5_spectrum(rng, states: int, *, full: bool):
    imag = log_uniform(rng, 0.3, 200.0, states)
    imag = np.concatenate([-imag[: states // 2], imag[states // 2 :]]) if full else -imag
    return -log_uniform(rng, 0.05, 1.0, states) + 1j * np.sort(imag), log_uniform(
        rng, 1e-3, 1e-1, states
    )


def conjugate_balanced(limit: float):
    """As many poles above the real axis as below."""
    base = oscillating(limit, signs=(1.0,))

    def vary(spectrum, rng):
        varied = base(spectrum, rng)
        poles = varied.log_poles.copy()
        poles[:, ::2] = poles[:, ::2].conj()
        return replace(varied, log_poles=poles)

    return vary


def s5(*, full: bool, flat_step: bool, reading: Reading) -> Example:
    rng = np.random.default_rng(14)
    tensors: Tensors = {"params/encoder/encoder/kernel": rng.normal(size=(1, 4))}
    log_poles, dts = {}, {}
    states = 6
    for layer in (0, 1):
        poles, dt = s5_spectrum(rng, states, full=full)
        path = f"params/encoder/layers_{layer}/seq"
        tensors |= {
            f"{path}/Lambda_re": poles.real.copy(),
            f"{path}/Lambda_im": poles.imag.copy(),
            f"{path}/log_step": np.log(dt) if flat_step else np.log(dt)[:, None],
            f"{path}/B": rng.normal(size=(states, 4, 2)),
            f"{path}/C1": rng.normal(size=(4, states, 2)),
            f"{path}/C2": rng.normal(size=(4, states, 2)),
            f"{path}/D": rng.normal(size=4),
        }
        is_bilinear = reading.discretization is Discretization.BILINEAR
        name = path.replace("/", ".")
        log_poles[name] = (bilinear if is_bilinear else zoh)(poles[None], dt[None])
        dts[name] = dt[None]
    limit = 3.0
    vary = conjugate_balanced(limit) if full else oscillating(limit, signs=(-1.0,))
    return Example(tensors, log_poles, dts, vary, reading)


def s5_torch(*, pairs: bool) -> Example:
    rng = np.random.default_rng(15)
    states = 8
    poles, dt = s5_spectrum(rng, states, full=True)
    tensors = {
        "blocks.0.s5.seq.Lambda": np.stack([poles.real, poles.imag], -1) if pairs else poles,
        "blocks.0.s5.seq.B": rng.normal(size=(states, 4, 2)),
        "blocks.0.s5.seq.C": rng.normal(size=(4, states)) + 1j * rng.normal(size=(4, states)),
        "blocks.0.s5.seq.D": rng.uniform(size=4),
        "blocks.0.s5.seq.log_step": np.log(dt),
        "blocks.0.attn_norm.weight": np.ones(4),
    }
    name = "blocks.0.s5.seq"
    log_poles = (bilinear if pairs else zoh)(poles[None], dt[None])
    return Example(tensors, {name: log_poles}, {name: dt[None]}, oscillating(3.0))


def lru() -> Example:
    rng = np.random.default_rng(16)
    states = 7
    tensors: Tensors = {}
    log_poles = {}
    for model in (0, 1):
        radius = np.sqrt(rng.uniform(0.8, 0.999, states))
        theta = rng.uniform(0.01, 2 * math.pi, states)
        theta[0] = 7.5 * math.pi  # training may carry an angle around the circle
        name = f"SSM_{model}_state_dict.lru"
        tensors |= {
            f"{name}.nu_log": np.log(-np.log(radius)),
            f"{name}.theta_log": np.log(theta),
            f"{name}.gamma_log": np.log(np.sqrt(1 - radius**2)),
            f"{name}.B": rng.normal(size=(states, 3)) + 1j * rng.normal(size=(states, 3)),
            f"{name}.C": rng.normal(size=(3, states)) + 1j * rng.normal(size=(3, states)),
            f"{name}.D": rng.normal(size=(3, 3)),
        }
        # cmath.log is the principal logarithm: the angle comes back in (-pi, pi].
        poles_bar = [cmath.rect(r, t) for r, t in zip(radius, theta, strict=True)]
        log_poles[name] = np.array([[cmath.log(pole) for pole in poles_bar]])
    return Example(tensors, log_poles, {}, oscillating(3.14))


ZOH = Reading(discretization=Discretization.ZOH)
BILINEAR = Reading(discretization=Discretization.BILINEAR)
SOFTPLUS = Reading(dt_transform=DtTransform.SOFTPLUS)

EXAMPLES: dict[str, Callable[[], Example]] = {
    "s4d": s4d,
    "s4d-v3": lambda: s4d_v3(4, Reading()),
    "s4d-v3/zoh": lambda: s4d_v3(4, ZOH),
    "s4d-v3/tied": lambda: s4d_v3(2, Reading()),
    "s4d-v4": lambda: s4d_v4(6, Reading()),
    "s4d-v4/bilinear": lambda: s4d_v4(6, BILINEAR),
    "s4d-v4/softplus": lambda: s4d_v4(6, SOFTPLUS),
    "s4d-v4/dt per mode": lambda: s4d_v4(6, Reading(), per_mode=True),
    "s4d-v4/tied": lambda: s4d_v4(2, Reading()),
    "s4d-v4/tied to one": lambda: s4d_v4(1, BILINEAR),
    "s4d-v4/real": lambda: s4d_v4(6, Reading(), real=True),
    "s4d-v4/lrnnx": lambda: s4d_v4(6, Reading(), module="blocks.0.ssm", second="layer.kernel"),
    "s5": lambda: s5(full=False, flat_step=False, reading=Reading()),
    "s5/full": lambda: s5(full=True, flat_step=False, reading=Reading()),
    "s5/flat step": lambda: s5(full=False, flat_step=True, reading=Reading()),
    "s5/bilinear": lambda: s5(full=False, flat_step=False, reading=BILINEAR),
    "s5/torch": lambda: s5_torch(pairs=False),
    "s5/torch pairs": lambda: s5_torch(pairs=True),
    "lru": lru,
}
