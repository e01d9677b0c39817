"""`chirps`: eight kinds of sweeps at 16 kHz, told apart by their direction, law and band.

A sweep of unit amplitude at a random phase goes from one frequency to another over the whole
sequence, up or down, its frequency changing linearly or exponentially, in the low band (300 to
1,500 Hz) or the high one (1,500 to 7,000 Hz), each end moved at random by up to a tenth. White
noise of the deviation `noise` is added. The class is 4 (down) + 2 (exponential) + (high), and the
order of the two ends cannot be told without looking across the sequence.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.training.tasks.base import Data, Target, Task, TaskOptions
from ssmspec.training.tasks.settings import needs_no_data, read_settings
from ssmspec.training.tasks.splits import drawn_splits

SEQ_LEN, SAMPLE_RATE, CLASSES = 1024, 16_000.0, 8
BANDS = ((300.0, 1500.0), (1500.0, 7000.0))
SETTINGS = (("noise", "0.3"), ("examples", "8000"), ("held_out", "800"))


def load(options: TaskOptions) -> Data:
    """Sweeps drawn by number: as many examples as one likes.

    Raises:
        UsageError: a setting makes no sense.
    """
    settings = read_settings("chirps", SETTINGS, options)
    needs_no_data("chirps", options)
    length = SEQ_LEN if options.seq_len is None else options.seq_len
    noise = settings.number("noise", 0.0, np.inf)

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        label = int(rng.integers(CLASSES))
        ends = np.array(BANDS[label % 2]) * rng.uniform(0.9, 1.1, 2)
        first, last = ends[::-1] if label >= 4 else ends
        x = sweep(
            first, last, length, exponential=label % 4 >= 2, phase=rng.uniform(0.0, 2 * np.pi)
        )
        x = x + noise * rng.standard_normal(length)
        return x.astype(np.float32)[:, None], np.asarray(label, dtype=np.int64)

    examples, held_out = settings.integer("examples", 1), settings.integer("held_out", 1)
    train, validation, test = drawn_splits(draw, options.seed, examples, held_out)
    return Data(
        train=train,
        validation=validation,
        test=test,
        target=Target.CLASS,
        d_input=1,
        d_output=CLASSES,
        seq_len=length,
        sample_rate=SAMPLE_RATE,
    )


def sweep(first: float, last: float, length: int, *, exponential: bool, phase: float) -> Floats:
    """Sin of a phase whose frequency goes from one to another, both in hertz.

    Args:
        first: frequency of the first sample.
        last: frequency that the last one comes to.
        length: samples.
        exponential: whether the logarithm of the frequency is what goes evenly.
        phase: at the first sample, rad.
    """
    share = np.arange(length) / length
    frequency = first * (last / first) ** share if exponential else first + (last - first) * share
    turns = np.concatenate([[0.0], np.cumsum(frequency[:-1])]) / SAMPLE_RATE
    return np.sin(2.0 * np.pi * turns + phase)


CHIRPS = Task(
    id="chirps",
    title="Chirps",
    summary="1,024 samples of a sweep at 16 kHz in, one of eight kinds out; tests time and pitch",
    source="made for this package",
    load=load,
    settings=SETTINGS,
)
