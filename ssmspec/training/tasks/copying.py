"""`copying`: memorize some symbols, wait, recall them in order.

The copying problem of Hochreiter and Schmidhuber (1997) in the form of Arjovsky et al. (2016,
arXiv 1511.06464). With S symbols to memorize out of an alphabet of K and a wait of T = L - 2S:

    x: S symbols, T - 1 blanks, one cue, S blanks         tokens 0 .. K-1, blank K, cue K + 1
    y: nothing asked for T + S steps, then the S symbols  classes 0 .. K-1

Where Arjovsky et al. also ask for the blanks, here only the recalled symbols count, so that the
accuracy is the share of symbols recalled and chance is 1/K.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Array
from ssmspec.errors import UsageError
from ssmspec.training.tasks.base import IGNORED, Data, Target, Task, TaskOptions
from ssmspec.training.tasks.settings import needs_no_data, read_settings
from ssmspec.training.tasks.splits import drawn_splits

SEQ_LEN = 120
SETTINGS = (("memorize", "10"), ("symbols", "8"), ("examples", "10000"), ("held_out", "512"))


def load(options: TaskOptions) -> Data:
    """Sequences drawn by number: as many examples as one likes.

    Raises:
        UsageError: the sequence is too short to memorize, wait and recall.
    """
    settings = read_settings("copying", SETTINGS, options)
    needs_no_data("copying", options)
    length = SEQ_LEN if options.seq_len is None else options.seq_len
    memorize, symbols = settings.integer("memorize", 1), settings.integer("symbols", 2)
    if length < 2 * memorize + 1:
        raise UsageError(
            f"copying {memorize} symbols takes a sequence length of at least {2 * memorize + 1}, "
            f"got {length}"
        )
    blank, cue = symbols, symbols + 1

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        x = np.full(length, blank, dtype=np.int64)
        y = np.full(length, IGNORED, dtype=np.int64)
        x[:memorize] = y[length - memorize :] = rng.integers(symbols, size=memorize)
        x[length - memorize - 1] = cue
        return x, y

    examples, held_out = settings.integer("examples", 1), settings.integer("held_out", 1)
    train, validation, test = drawn_splits(draw, options.seed, examples, held_out)
    return Data(
        train=train,
        validation=validation,
        test=test,
        target=Target.CLASS_PER_STEP,
        d_input=1,
        d_output=symbols,
        seq_len=length,
        vocabulary=symbols + 2,
        causal=True,
    )


COPYING = Task(
    id="copying",
    title="Copying",
    summary="symbols, a long wait and a cue in, the symbols in order out; tests memory of tokens",
    source="arXiv 1511.06464",
    load=load,
    settings=SETTINGS,
)
