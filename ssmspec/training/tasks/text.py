"""`text`: film reviews byte by byte, for or against (Text of Long Range Arena).

Reads the folder of the Large Movie Review Dataset (A. Maas et al., 2011) as it is unpacked:
`train/pos/*.txt`, `train/neg/*.txt` and the same under `test`. Tokens are the bytes of a file, 0 to
255, cut at L = 4,096 as in the benchmark; shorter ones are padded and do not count. A tenth of the
training reviews is held out for validation, the same whatever the run's seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.files import open_regular
from ssmspec.errors import UsageError
from ssmspec.naming import printable
from ssmspec.training.tasks.base import Batch, Data, Target, Task, TaskOptions
from ssmspec.training.tasks.folders import data_folder
from ssmspec.training.tasks.settings import read_settings
from ssmspec.training.tasks.splits import held_out_rows

SEQ_LEN, VOCABULARY = 4096, 256
HELD_OUT, SPLIT_SEED = 0.1, 0
KINDS = ("neg", "pos")
WANTED = "train/pos, train/neg, test/pos and test/neg of the Large Movie Review Dataset (aclImdb)"


@dataclass(frozen=True, eq=False)
class Reviews:
    """Texts as bytes, and 1 for those that are for the film.

    Attributes:
        texts: not empty, at most L bytes each.
        y: int64 (n,).
        seq_len: L.
    """

    texts: tuple[bytes, ...]
    y: Array
    seq_len: int

    def __len__(self) -> int:
        return len(self.texts)

    def some(self, rows: Array) -> Reviews:
        """Those of some rows."""
        return Reviews(tuple(self.texts[row] for row in rows), self.y[rows], self.seq_len)

    def batch(self, indices: Array) -> Batch:
        """The reviews with these indices, padded at the end."""
        x = np.zeros((len(indices), self.seq_len), dtype=np.int64)
        lengths = np.array([len(self.texts[index]) for index in indices], dtype=np.int64)
        for row, index, length in zip(x, indices, lengths, strict=True):
            row[:length] = np.frombuffer(self.texts[index], dtype=np.uint8)
        return Batch(x, self.y[indices], lengths)


def load(options: TaskOptions) -> Data:
    """The reviews in three parts.

    Raises:
        UsageError: the folder is not there or lacks a part.
    """
    read_settings("text", (), options)
    length = SEQ_LEN if options.seq_len is None else options.seq_len
    folder = data_folder("text", options, WANTED)
    if (folder / "aclImdb").is_dir():
        folder = folder / "aclImdb"
    whole = _part(folder, "train", length)
    rows, held = held_out_rows(len(whole), HELD_OUT, SPLIT_SEED)
    return Data(
        train=whole.some(rows),
        validation=whole.some(held),
        test=_part(folder, "test", length),
        target=Target.CLASS,
        d_input=1,
        d_output=2,
        seq_len=length,
        vocabulary=VOCABULARY,
    )


def _part(folder: Path, part: str, length: int) -> Reviews:
    texts: list[bytes] = []
    labels: list[int] = []
    for label, kind in enumerate(KINDS):
        files = sorted((folder / part / kind).glob("*.txt"))
        if not files:
            raise UsageError(
                f"{printable(str(folder))} has no texts in {part}/{kind}; text needs --data FOLDER "
                f"with {WANTED}"
            )
        for file in files:
            try:
                with open_regular(file) as stream:
                    texts.append(stream.read(length) or b"\0")
            except OSError as error:
                raise UsageError(
                    f"{printable(str(file))} cannot be read: {error.strerror or error}"
                ) from None
            labels.append(label)
    return Reviews(tuple(texts), np.array(labels, dtype=np.int64), length)


TEXT = Task(
    id="text",
    title="Text",
    summary="4,096 bytes of a film review in, for or against out; tests long sequences of tokens",
    source="arXiv 2011.04006, on the Large Movie Review Dataset",
    load=load,
    needs="--data FOLDER with the Large Movie Review Dataset unpacked (aclImdb)",
)
