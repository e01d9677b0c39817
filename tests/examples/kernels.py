"""Random kernels, and short ways to measure one."""

import math

import numpy as np

from ssmspec.kernel import LayerKernel, MimoKernel, impulse_response
from ssmspec.metrics import METRICS, Context
from ssmspec.outcome import Measured, NotApplicable
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Symmetry


def spectrum_of(log_poles, symmetry=Symmetry.HALF, dt=None, discretization=Discretization.ZOH):
    log_poles = np.asarray(log_poles, dtype=complex)
    dt = None if dt is None else np.asarray(dt, dtype=float)
    return LayerSpectrum("layer", "s4d", discretization, symmetry, log_poles, dt)


def random_siso(rng, shape, symmetry=Symmetry.HALF, kernels=1, slowest=0.02):
    decay = np.exp(rng.uniform(np.log(slowest), 0.0, shape))
    is_real = symmetry is Symmetry.REAL
    omega = np.zeros(shape) if is_real else rng.uniform(-6.0, 6.0, shape)
    residues = rng.normal(size=(kernels, *shape)) + 1j * rng.normal(size=(kernels, *shape))
    return LayerKernel(
        spectrum_of(-decay + 1j * omega, symmetry), residues.real + 0j if is_real else residues
    )


def random_mimo(rng, modes, outputs, inputs, symmetry=Symmetry.HALF, slowest=0.02):
    siso = random_siso(rng, (1, modes), symmetry, slowest=slowest)
    C, B = ((rng.normal(size=(2, *s))) for s in ((outputs, modes), (modes, inputs)))
    return MimoKernel(siso.spectrum, C[0] + 1j * C[1], B[0] + 1j * B[1])


def outcome(identifier, kernel, length=None, **context):
    spectrum = kernel.spectrum
    return METRICS[identifier](spectrum, Context(length, kernel=kernel, **context))


def value(identifier, kernel, length=None, **context):
    found = outcome(identifier, kernel, length, **context)
    assert isinstance(found, Measured), found
    return found.value


def reason(identifier, kernel, length=None, **context):
    found = outcome(identifier, kernel, length, **context)
    assert isinstance(found, NotApplicable), found
    return found.reason


def long_energy(kernel, length):
    """Energy by lag of a plain sum over modes."""
    response = impulse_response(kernel, length)
    return (response**2).sum(axis=(0, 1))


def horizon(energy):
    total, held = math.fsum(energy), 0.0
    for lag, part in enumerate(energy):
        held += part
        if held >= 0.9 * total * (1 - 1e-12):
            return lag + 1
    raise AssertionError
