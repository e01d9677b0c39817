"""`digits`: scikit-learn's 8 x 8 handwritten digits, one pixel after the other.

Real data with no download: 1,797 digits of the UCI optical recognition set (E. Alpaydin and
C. Kaynak, 1998), gray values 0 to 16, here v/8 - 1 in [-1, 1], read row by row as 64 samples. The
split is fixed whatever the run's seed, so that runs are compared on the same digits: stratified by
class, 70 % to learn from, 10 % validation, 20 % test.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Array
from ssmspec.errors import UsageError
from ssmspec.training.tasks.base import Data, Target, Task, TaskOptions
from ssmspec.training.tasks.settings import fixed_length, needs_no_data, read_settings
from ssmspec.training.tasks.splits import ArraySplit

SPLIT_SEED = 0
SIDE = 8


def load(options: TaskOptions) -> Data:
    """The digits in three parts.

    Raises:
        UsageError: scikit-learn is not installed, or an option does not fit.
    """
    read_settings("digits", (), options)
    needs_no_data("digits", options)
    length = fixed_length("digits", options, SIDE * SIDE)
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - heavy, and an extra
        from sklearn.model_selection import train_test_split  # noqa: PLC0415
    except ModuleNotFoundError:
        raise UsageError(
            "digits come with scikit-learn, which is not installed: pip install 'ssmspec[train]'"
        ) from None
    values, classes = load_digits(return_X_y=True)
    x = (values / 8.0 - 1.0).astype(np.float32)[..., None]
    y = classes.astype(np.int64)
    rest, test = train_test_split(
        np.arange(len(y)), test_size=0.2, stratify=y, random_state=SPLIT_SEED
    )
    train, validation = train_test_split(
        rest, test_size=0.125, stratify=y[rest], random_state=SPLIT_SEED
    )

    def split(rows: Array) -> ArraySplit:
        return ArraySplit(x[rows], y[rows])

    return Data(
        train=split(train),
        validation=split(validation),
        test=split(test),
        target=Target.CLASS,
        d_input=1,
        d_output=10,
        seq_len=length,
        row_stride=SIDE,
    )


DIGITS = Task(
    id="digits",
    title="Sequential digits",
    summary="64 pixels of a handwritten digit in, its class out; real data with no download",
    source="UCI optical recognition of handwritten digits, as scikit-learn ships it",
    load=load,
)
