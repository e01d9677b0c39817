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
    from ssmspec.analysis import analyze, read_spectra
    from ssmspec.checkpoints import Checkpoint, open_checkpoint
    from ssmspec.errors import SsmspecError
    from ssmspec.reading import Discretization, DtTransform, LayerRate, Reading
    from ssmspec.report import Report
    from ssmspec.spectrum import LayerSpectrum

__all__ = [
    "Checkpoint",
    "Discretization",
    "DtTransform",
    "LayerRate",
    "LayerSpectrum",
    "Reading",
    "Report",
    "SsmspecError",
    "__version__",
    "analyze",
    "open_checkpoint",
    "read_spectra",
]

_HOMES = {
    "analyze": "ssmspec.analysis",
    "read_spectra": "ssmspec.analysis",
    "Checkpoint": "ssmspec.checkpoints",
    "open_checkpoint": "ssmspec.checkpoints",
    "SsmspecError": "ssmspec.errors",
    "Discretization": "ssmspec.reading",
    "DtTransform": "ssmspec.reading",
    "LayerRate": "ssmspec.reading",
    "Reading": "ssmspec.reading",
    "Report": "ssmspec.report",
    "LayerSpectrum": "ssmspec.spectrum",
}


def __getattr__(name: str) -> Any:
    """Public names load on first use, so that `ssmspec --help` never waits for numpy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ssmspec' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
