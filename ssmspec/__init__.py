"""ssmspec reads the poles of a state-space model and says what it can and cannot hear.

    import ssmspec

    report = ssmspec.analyze("model.safetensors", seq_len=1024)
    report.model["aliased_fraction"].outcome        # Measured(value=0.108, unit='fraction')
    spectra = ssmspec.read_spectra(module)          # anything with a state_dict()
    spectra[0].log_poles                            # complex128 (channels, modes)

Everything the command line does is a function here. Importing this package imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ssmspec._version import __version__

if TYPE_CHECKING:
    from ssmspec.against_report import SchemeComparison
    from ssmspec.analysis import analyze, read_spectra
    from ssmspec.check_report import CheckRun
    from ssmspec.checking import check
    from ssmspec.checkpoints import Checkpoint, open_checkpoint
    from ssmspec.comparison import against, compare
    from ssmspec.comparison_report import Comparison
    from ssmspec.errors import SsmspecError
    from ssmspec.reading import Discretization, DtTransform, LayerRate, Reading
    from ssmspec.reinit_report import Reinitialization
    from ssmspec.reinitialization import reinit
    from ssmspec.report import Report
    from ssmspec.schemes import SchemeOptions
    from ssmspec.sensitivity import sweep
    from ssmspec.sensitivity_report import Sweep
    from ssmspec.spectrum import LayerSpectrum
    from ssmspec.training import TrainConfig, train
    from ssmspec.training.monitor import SpectrumMonitor

__all__ = [
    "CheckRun",
    "Checkpoint",
    "Comparison",
    "Discretization",
    "DtTransform",
    "LayerRate",
    "LayerSpectrum",
    "Reading",
    "Reinitialization",
    "Report",
    "SchemeComparison",
    "SchemeOptions",
    "SpectrumMonitor",
    "SsmspecError",
    "Sweep",
    "TrainConfig",
    "__version__",
    "against",
    "analyze",
    "check",
    "compare",
    "open_checkpoint",
    "read_spectra",
    "reinit",
    "sweep",
    "train",
]

_HOMES = {
    "analyze": "ssmspec.analysis",
    "read_spectra": "ssmspec.analysis",
    "check": "ssmspec.checking",
    "CheckRun": "ssmspec.check_report",
    "against": "ssmspec.comparison",
    "compare": "ssmspec.comparison",
    "sweep": "ssmspec.sensitivity",
    "Checkpoint": "ssmspec.checkpoints",
    "open_checkpoint": "ssmspec.checkpoints",
    "SsmspecError": "ssmspec.errors",
    "Discretization": "ssmspec.reading",
    "DtTransform": "ssmspec.reading",
    "LayerRate": "ssmspec.reading",
    "Reading": "ssmspec.reading",
    "Report": "ssmspec.report",
    "reinit": "ssmspec.reinitialization",
    "Reinitialization": "ssmspec.reinit_report",
    "SchemeOptions": "ssmspec.schemes",
    "Comparison": "ssmspec.comparison_report",
    "SchemeComparison": "ssmspec.against_report",
    "Sweep": "ssmspec.sensitivity_report",
    "LayerSpectrum": "ssmspec.spectrum",
    "SpectrumMonitor": "ssmspec.training.monitor",
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
