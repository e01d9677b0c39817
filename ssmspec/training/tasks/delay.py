"""`delay`: continuous copying. Repeat a band-limited noise `lag` samples later.

x is white noise band-limited to a share `cutoff` of the sample rate: Gaussian, of mean 0 and unit
variance, with a flat spectrum at frequencies in (0, cutoff] cycles/sample and nothing above. The
answer is y[k] = x[k - lag], and 0 for k < lag. A linear system with one channel can learn it, and
what it can reach is known in closed form (`benchmarks/delay.py`): to say 0 costs a mean squared
error of 1 - lag/L, which is 0.75 for the usual L = 4,000 and lag = 1,000 (DFouT paper, arXiv
2508.20441, section on continuous copying).

The noise is L samples of a periodic one with a period of at least four times L, drawn in the
frequency domain: at this length its covariance (`covariance`) is that of aperiodic noise,
sin(2 pi cutoff k) / (2 pi cutoff k), to within about 1 / (4 cutoff L), and its ends know nothing
of each other.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.errors import UsageError
from ssmspec.training.tasks.base import Data, Target, Task, TaskOptions
from ssmspec.training.tasks.settings import needs_no_data, read_settings
from ssmspec.training.tasks.splits import drawn_splits

SEQ_LEN = 4000
QUARTER = "L/4"
SETTINGS = (("lag", QUARTER), ("cutoff", "0.25"), ("examples", "20000"), ("held_out", "256"))


def load(options: TaskOptions) -> Data:
    """Noise and its delayed self, drawn by number: as many examples as one likes.

    Raises:
        UsageError: the lag does not fit the length, or the band holds no frequency.
    """
    settings = read_settings("delay", SETTINGS, options)
    needs_no_data("delay", options)
    length = SEQ_LEN if options.seq_len is None else options.seq_len
    told = settings.values["lag"] != QUARTER
    lag = settings.integer("lag", 0) if told else length // 4
    if lag >= length:
        raise UsageError(
            f"lag of delay must be below the sequence length of {length}, got {lag}; with a lag of "
            f"L or more nothing is asked for but zeros"
        )
    cutoff = settings.number("cutoff", 0.0, 0.5)
    if band_size(length, cutoff) < 1:
        raise UsageError(
            f"cutoff of delay must be at least {1 / noise_period(length):.3g} cycles/sample at "
            f"{length} samples, got {cutoff:g}; the band holds no frequency"
        )

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        x = noise(rng, length, cutoff).astype(np.float32)
        return x[:, None], delayed(x, lag)[:, None]

    examples, held_out = settings.integer("examples", 1), settings.integer("held_out", 1)
    train, validation, test = drawn_splits(draw, options.seed, examples, held_out)
    return Data(
        train=train,
        validation=validation,
        test=test,
        target=Target.VALUE_PER_STEP,
        d_input=1,
        d_output=1,
        seq_len=length,
        causal=True,
    )


def noise_period(length: int) -> int:
    """Period of the noise: the first power of two that is at least four times the length."""
    return 4 << max(0, (length - 1).bit_length())


def band_size(length: int, cutoff: float) -> int:
    """How many of the period's frequencies lie in the band: those at 1/P, 2/P, ... of the rate.

    Neither frequency 0 nor Nyquist is among them.
    """
    period = noise_period(length)
    return min(int(np.floor(cutoff * period)), period // 2 - 1)


def noise(rng: np.random.Generator, length: int, cutoff: float) -> Floats:
    """(length,) band-limited Gaussian noise of mean 0 and variance 1.

    Args:
        rng: source of randomness.
        length: samples.
        cutoff: upper end of the band, cycles/sample.
    """
    period, band = noise_period(length), band_size(length, cutoff)
    spectrum = np.zeros(period // 2 + 1, dtype=np.complex128)
    spectrum[1 : band + 1] = rng.standard_normal((band, 2)) @ np.array([1.0, 1j])
    x: Floats = np.fft.irfft(spectrum, period)[:length] * (period / np.sqrt(4.0 * band))
    return x


def covariance(length: int, cutoff: float) -> Floats:
    """E x[j] x[j + k] of the noise, (length,) over k from 0: the mean of the band's cosines."""
    period, band = noise_period(length), band_size(length, cutoff)
    flat = np.zeros(period // 2 + 1)
    flat[1 : band + 1] = period / (2.0 * band)
    return np.fft.irfft(flat, period)[:length]


def delayed(x: Array, lag: int) -> Array:
    """X, (..., L), shifted by `lag` samples along its last axis, zeros before: (..., L)."""
    y = np.zeros_like(x)
    y[..., lag:] = x[..., : x.shape[-1] - lag]
    return y


DELAY = Task(
    id="delay",
    title="Continuous copying",
    summary="band-limited noise in, the same noise `lag` samples later out; tests linear memory",
    source="arXiv 2508.20441; the delay task of arXiv 2206.12037",
    load=load,
    settings=SETTINGS,
)
