"""Time and memory of `ssmspec reinit` on a large file, against copying that file.

    python benchmarks/reinit.py [--gigabytes 4] [--repeats 5] [--folder DIR] [--torch]

Makes a file of random bytes that holds four small S4D layers, and by turns re-initializes it and
copies it with `cp --reflink=never --sparse=never`. Both end with their output flushed to the disk:
`reinit` always does so, and after `cp` comes `sync FILE`. Prints every run, medians and their
ratio. Needs three times the file's size of room on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from synthetic import s4d_layer

ROOT = Path(__file__).resolve().parents[1]
BLOCK = 64 << 20

# Runs the tool in a fresh interpreter and tells the peak of its memory: VmHWM is that of this
# process alone, where ru_maxrss of a child would start from its parent's.
PROBE = """
import atexit, sys
@atexit.register
def tell():
    with open("/proc/self/status") as lines:
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    with open(sys.argv[1], "w") as out:
        out.write(str(peak * 1024))
from ssmspec.cli import run
code = run(sys.argv[2:])
if code:
    sys.exit(code)
"""


def layers(rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Four layers of 128 channels x 32 modes, by tensor name."""
    return {
        f"s4.{index}.kernel.{name}": tensor
        for index in range(4)
        for name, tensor in s4d_layer(rng, (128, 32)).items()
    }


def write_safetensors(path: Path, size: int) -> None:
    """A file of `size` random bytes; its header is written by hand, to write blocks at a time."""
    rng = np.random.default_rng(0)
    tensors = layers(rng)
    header: dict[str, object] = {
        "weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    }
    end = size
    for name, tensor in tensors.items():
        offsets = [end, end + tensor.nbytes]
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": offsets}
        end += tensor.nbytes
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for begin in range(0, size, BLOCK):
            file.write(rng.bytes(min(BLOCK, size - begin)))
        for tensor in tensors.values():
            file.write(tensor.tobytes())


def write_torch(path: Path, size: int) -> None:
    """The same as a torch archive; torch itself needs `size` bytes of memory for it."""
    import torch

    rng = np.random.default_rng(0)
    state = {name: torch.from_numpy(tensor) for name, tensor in layers(rng).items()}
    blocks = [rng.bytes(min(BLOCK, size - begin)) for begin in range(0, size, BLOCK)]
    state["weight"] = torch.from_numpy(np.concatenate([np.frombuffer(b, np.uint8) for b in blocks]))
    torch.save(state, path)


def timed(command: Sequence[str | Path]) -> float:
    """Seconds a command takes."""
    start = time.perf_counter()
    ended = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if ended.returncode:
        sys.exit(f"a run failed:\n{ended.stderr.decode()}")
    return time.perf_counter() - start


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=4.0, help="size of the file (default 4)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each (default 5)")
    parser.add_argument("--folder", type=Path, help="where files are made (default: temporary)")
    parser.add_argument("--torch", action="store_true", help="a torch archive, not safetensors")
    options = parser.parse_args()
    size = int(options.gigabytes * 1e9)
    ours: list[float] = []
    theirs: list[float] = []
    peaks: list[int] = []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="ssmspec-") as made:
        folder = Path(made)
        if shutil.disk_usage(folder).free < 3.5 * size:
            sys.exit(f"{folder} has no room for three files of {size / 1e9:g} GB")
        suffix = "pth" if options.torch else "safetensors"
        source, output, copy = (folder / f"{name}.{suffix}" for name in ("in", "out", "copy"))
        (write_torch if options.torch else write_safetensors)(source, size)
        os.sync()  # what is still on its way to the disk would slow the first runs
        peak = folder / "peak"
        tool = (sys.executable, "-c", PROBE, peak, "reinit", source, "--output", output, "-q")
        plain = (
            "sh",
            "-c",
            f"cp --reflink=never --sparse=never '{source}' '{copy}' && sync '{copy}'",
        )
        print(f"{'reinit s':>10}{'cp s':>10}{'peak MB':>10}")
        for _ in range(options.repeats):
            ours.append(timed(tool))
            peaks.append(int(peak.read_text()))
            output.unlink()
            theirs.append(timed(plain))
            copy.unlink()
            print(f"{ours[-1]:>10.2f}{theirs[-1]:>10.2f}{peaks[-1] / 1e6:>10.0f}", flush=True)
    tool_median, plain_median = statistics.median(ours), statistics.median(theirs)
    print(
        f"median {tool_median:.2f} s against {plain_median:.2f} s: "
        f"{tool_median / plain_median:.2f} times, at most {max(peaks) / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
