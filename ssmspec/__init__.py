"""ssmspec reads the poles of a state-space model and says what it can and cannot hear.

    import ssmspec

    report = ssmspec.analyze("model.safetensors", seq_len=1024)
    report.model["aliased_fraction"].outcome        # Measured(value=0.108, unit='fraction')
    spectra = ssmspec.read_spectra(module)          # anything with a state_dict()
    spectra[0].log_poles                            # complex128 (channels, modes)

Everything the command line does is a function here. Importing this package imports no torch.
"""

import sys

if sys.argv[:1] == ["-m"] and "ssmspec" in sys.orig_argv and not sys.flags.safe_path:
    # `python -m ssmspec` is being started, and Python put the current folder in front: modules
    # there are nobody's plugins, and a checkpoint's folder must not run code.
    del sys.path[0]

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ssmspec._version import __version__

if TYPE_CHECKING:
    from ssmspec.analysis.against import against
    from ssmspec.analysis.comparison import compare
    from ssmspec.analysis.export import export
    from ssmspec.analysis.face import load_report
    from ssmspec.analysis.model import read_spectra
    from ssmspec.analysis.report import analyze
    from ssmspec.analysis.stored_as import stored_as
    from ssmspec.analysis.sweep import sweep
    from ssmspec.analysis.track import track
    from ssmspec.checking import check
    from ssmspec.checkpoints import Checkpoint, open_checkpoint
    from ssmspec.errors import SsmspecError
    from ssmspec.live.changes import apply, parameter_groups
    from ssmspec.live.monitor import SpectrumMonitor
    from ssmspec.reading import Discretization, DtTransform, LayerRate, Reading
    from ssmspec.reinitialization import reinit
    from ssmspec.results.against import SchemeComparison
    from ssmspec.results.check import CheckRun
    from ssmspec.results.comparison import Comparison
    from ssmspec.results.export import Export
    from ssmspec.results.reinit import Reinitialization
    from ssmspec.results.report import Report
    from ssmspec.results.stored_as import StoredAs
    from ssmspec.results.sweep import Sweep
    from ssmspec.results.track import Track
    from ssmspec.schemes import SchemeOptions
    from ssmspec.spectrum import LayerSpectrum
    from ssmspec.training import TrainConfig, train

__all__ = [
    "CheckRun",
    "Checkpoint",
    "Comparison",
    "Discretization",
    "DtTransform",
    "Export",
    "LayerRate",
    "LayerSpectrum",
    "Reading",
    "Reinitialization",
    "Report",
    "SchemeComparison",
    "SchemeOptions",
    "SpectrumMonitor",
    "SsmspecError",
    "StoredAs",
    "Sweep",
    "Track",
    "TrainConfig",
    "__version__",
    "against",
    "analyze",
    "apply",
    "check",
    "compare",
    "export",
    "load_report",
    "open_checkpoint",
    "parameter_groups",
    "read_spectra",
    "reinit",
    "stored_as",
    "sweep",
    "track",
    "train",
]

_HOMES = {
    "analyze": "ssmspec.analysis.report",
    "read_spectra": "ssmspec.analysis.model",
    "check": "ssmspec.checking",
    "CheckRun": "ssmspec.results.check",
    "against": "ssmspec.analysis.against",
    "compare": "ssmspec.analysis.comparison",
    "export": "ssmspec.analysis.export",
    "Export": "ssmspec.results.export",
    "load_report": "ssmspec.analysis.face",
    "stored_as": "ssmspec.analysis.stored_as",
    "StoredAs": "ssmspec.results.stored_as",
    "sweep": "ssmspec.analysis.sweep",
    "track": "ssmspec.analysis.track",
    "Checkpoint": "ssmspec.checkpoints",
    "open_checkpoint": "ssmspec.checkpoints",
    "SsmspecError": "ssmspec.errors",
    "Discretization": "ssmspec.reading",
    "DtTransform": "ssmspec.reading",
    "LayerRate": "ssmspec.reading",
    "Reading": "ssmspec.reading",
    "Report": "ssmspec.results.report",
    "reinit": "ssmspec.reinitialization",
    "Reinitialization": "ssmspec.results.reinit",
    "SchemeOptions": "ssmspec.schemes",
    "Comparison": "ssmspec.results.comparison",
    "SchemeComparison": "ssmspec.results.against",
    "Sweep": "ssmspec.results.sweep",
    "Track": "ssmspec.results.track",
    "LayerSpectrum": "ssmspec.spectrum",
    "SpectrumMonitor": "ssmspec.live.monitor",
    "apply": "ssmspec.live.changes",
    "parameter_groups": "ssmspec.live.changes",
    "TrainConfig": "ssmspec.training",
    "train": "ssmspec.training",
}


def __getattr__(name: str) -> Any:
    """Public names load on first use, so that `ssmspec --help` never waits for numpy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ssmspec' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
