"""`speech-commands`: one spoken word of 35, as a raw waveform.

Reads the Speech Commands data set v0.02 (P. Warden, arXiv 1804.03209) as its archive unpacks: one
folder a word with 16 kHz mono 16-bit wav files of up to a second. `validation_list.txt` and
`testing_list.txt` name the files of those splits, the rest is for training; `_background_noise_` is
left out. Samples are divided by 2^15, and recordings padded with zeros at the end or cut to one
second (16,000 samples). Files are read when a batch asks for them.
"""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.files import read_whole
from ssmspec.errors import UsageError
from ssmspec.naming import printable
from ssmspec.training.tasks.base import Batch, Data, Target, Task, TaskOptions
from ssmspec.training.tasks.folders import damaged, data_folder, require_files
from ssmspec.training.tasks.settings import fixed_length, read_settings

SAMPLE_RATE = 16000
MOST_LISTED, MOST_RECORDED = 2**24, 2**24
"""Bytes of the largest list and recording that are read; the data set's have under a mebibyte."""
LISTS = ("validation_list.txt", "testing_list.txt")
WANTED = (
    "Speech Commands v0.02 as its archive unpacks: a folder of wav files for each word, "
    "validation_list.txt and testing_list.txt"
)


@dataclass(frozen=True, eq=False)
class Recordings:
    """A split of wav files, read when asked for.

    Attributes:
        files: sorted by name.
        y: int64 (n,), number of the word.
    """

    files: tuple[Path, ...]
    y: Array

    def __len__(self) -> int:
        return len(self.files)

    def batch(self, indices: Array) -> Batch:
        """The recordings with these indices (B,): x float32 (B, 16000, 1), zeros at the end.

        Raises:
            UsageError: a file is damaged.
        """
        x = np.zeros((len(indices), SAMPLE_RATE, 1), dtype=np.float32)
        for row, index in enumerate(indices):
            samples = _read(self.files[index])[:SAMPLE_RATE]
            x[row, : len(samples), 0] = samples
        return Batch(x, self.y[indices])


def load(options: TaskOptions) -> Data:
    """The lists of files; no sound is read yet.

    Raises:
        UsageError: files are missing, or a list names files that are not there.
    """
    read_settings("speech-commands", (), options)
    length = fixed_length("speech-commands", options, SAMPLE_RATE)
    folder = data_folder("speech-commands", options, WANTED)
    require_files("speech-commands", folder, LISTS, WANTED)
    words = sorted(
        place.name
        for place in folder.iterdir()
        if place.is_dir() and place.name[0] not in "._" and any(place.glob("*.wav"))
    )
    names = {
        f"{word}/{file.name}": number
        for number, word in enumerate(words)
        for file in sorted((folder / word).glob("*.wav"))
    }
    if len(words) < 2:
        raise UsageError(
            f"{printable(str(folder))} has wav files for fewer than two words; speech-commands "
            f"needs --data FOLDER with {WANTED}"
        )
    validation, test = (_listed(folder / name, names) for name in LISTS)
    train = names.keys() - validation - test
    if not train:
        raise UsageError(f"{printable(str(folder))} has no wav file that neither list names")
    return Data(
        train=_recordings(folder, train, names),
        validation=_recordings(folder, validation, names),
        test=_recordings(folder, test, names),
        target=Target.CLASS,
        d_input=1,
        d_output=len(words),
        seq_len=length,
        sample_rate=float(SAMPLE_RATE),
    )


def _recordings(folder: Path, chosen: set[str], names: dict[str, int]) -> Recordings:
    ordered = sorted(chosen)
    classes = np.array([names[name] for name in ordered], dtype=np.int64)
    return Recordings(tuple(folder / name for name in ordered), classes)


def _listed(path: Path, names: dict[str, int]) -> set[str]:
    """The files a list names, which must all be there."""
    try:
        listed = set(read_whole(path, MOST_LISTED).decode("utf-8").split())
    except UnicodeDecodeError as error:
        raise damaged(path, f"cannot be read ({printable(str(error))})") from None
    missing = sorted(listed - names.keys())
    if missing:
        files = "1 file that is" if len(missing) == 1 else f"{len(missing):,} files that are"
        raise UsageError(
            f"{printable(str(path))} names {files} not there, such as {printable(missing[0])}; "
            f"unpack the archive again"
        )
    if not listed:
        raise damaged(path, "names no file")
    return listed


def _read(path: Path) -> Array:
    """float32 samples in [-1, 1)."""
    try:
        with wave.open(io.BytesIO(read_whole(path, MOST_RECORDED)), "rb") as file:
            kind = file.getnchannels(), file.getsampwidth(), file.getframerate()
            raw = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        cause = printable(str(error)) or "it ends early"
        raise damaged(path, f"is no wav file ({cause})") from None
    if kind != (1, 2, SAMPLE_RATE):
        raise UsageError(
            f"{printable(str(path))} has {kind[0]} channels of {8 * kind[1]} bits at {kind[2]} Hz; "
            f"speech-commands reads one of 16 bits at {SAMPLE_RATE} Hz"
        )
    samples = np.frombuffer(raw[: len(raw) // 2 * 2], dtype="<i2")
    return samples.astype(np.float32) / np.float32(2**15)


SPEECH_COMMANDS = Task(
    id="speech-commands",
    title="Speech Commands, 35 words",
    summary="one second of sound at 16 kHz in, one of 35 words out; tests raw waveforms",
    source="arXiv 1804.03209",
    load=load,
    needs="--data FOLDER with Speech Commands v0.02 unpacked",
)
