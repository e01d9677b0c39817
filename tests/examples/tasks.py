"""Small data sets in the true formats, written byte by byte, and options that load every task."""

import gzip
import struct
import wave

import numpy as np

from ssmspec.training.tasks.base import TaskOptions

CIFAR_RECORD = 3073
WORDS = ("bed", "cat", "yes")


def write_cifar(folder, records=20):
    """CIFAR-10's binary version; returns the training bytes (5, records, 3073)."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    batches = rng.integers(0, 256, (6, records, CIFAR_RECORD), dtype=np.uint8)
    batches[:, :, 0] = rng.integers(0, 10, (6, records))
    for number in range(5):
        (folder / f"data_batch_{number + 1}.bin").write_bytes(batches[number].tobytes())
    (folder / "test_batch.bin").write_bytes(batches[5].tobytes())
    return batches[:5]


def write_mnist(folder, count=30, *, packed=False):
    """MNIST's four files; returns the training images (count, 28, 28) and labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    first = None
    for part in ("train", "t10k"):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        first = first or (images, labels)
        files = {
            f"{part}-images-idx3-ubyte": struct.pack(">4I", 2051, count, 28, 28) + images.tobytes(),
            f"{part}-labels-idx1-ubyte": struct.pack(">2I", 2049, count) + labels.tobytes(),
        }
        for name, raw in files.items():
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(raw))
            else:
                (folder / name).write_bytes(raw)
    return first


def write_wav(path, samples, rate=16000, width=2, channels=1):
    """16-bit samples as a wav file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, dtype="<i2").tobytes())


def write_speech(folder, each=4):
    """Three words of `each` recordings: the first for validation, the second for testing."""
    for number, word in enumerate(WORDS):
        for index in range(each):
            write_wav(folder / word / f"{index}.wav", [number, index, -(2**15), 2**15 - 1])
    write_wav(folder / "_background_noise_" / "rain.wav", [1, 2, 3])
    (folder / "validation_list.txt").write_text("".join(f"{word}/0.wav\n" for word in WORDS))
    (folder / "testing_list.txt").write_text("".join(f"{word}/1.wav\n" for word in WORDS))


def write_reviews(folder, each=10):
    """Film reviews as they are unpacked; every text is another one."""
    for part in ("train", "test"):
        for kind in ("pos", "neg"):
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
            for number in range(each):
                text = f"{part} {kind} {number} " * (number + 1)
                (folder / part / kind / f"{number}_7.txt").write_text(text, encoding="utf-8")


def small_options(task, folder):
    """Options under which a task loads in a moment, with what it needs written to `folder`."""
    few = (("examples", "6"), ("held_out", "3"))
    if task == "delay":
        return TaskOptions(seq_len=64, settings=(*few, ("lag", "16")))
    if task in ("copying", "chirps"):
        return TaskOptions(settings=few)
    if task == "listops":
        settings = (*few, ("min_length", "4"), ("max_args", "4"))
        return TaskOptions(seq_len=40, cache=folder, settings=settings)
    if task.startswith("pathfinder"):
        return TaskOptions(cache=folder, settings=(*few, ("contour_length", "6")))
    if task == "npz":
        rng = np.random.default_rng(0)
        path = folder / "data.npz"
        np.savez(path, x=rng.standard_normal((20, 7, 2)), y=np.arange(20) % 3)
        return TaskOptions(data=path)
    writers = {
        "scifar": write_cifar,
        "smnist": write_mnist,
        "text": write_reviews,
        "speech-commands": write_speech,
    }
    if task in writers:
        writers[task](folder / task)
        return TaskOptions(data=folder / task)
    return TaskOptions()
