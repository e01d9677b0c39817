"""Training from any initialization scheme, and what the spectrum does meanwhile.

    from ssmspec.training import TrainConfig, train

    result = train(TrainConfig("digits", epochs=5), "runs/digits")

Only this package imports torch, and only in modules that need it: the configuration and the tasks'
records are read without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ssmspec.errors import UsageError

if TYPE_CHECKING:
    from ssmspec.training.config import ModelConfig, TrainConfig
    from ssmspec.training.evaluation import evaluate
    from ssmspec.training.result import DivergedError, Progress, TrainResult
    from ssmspec.training.session import train

__all__ = [
    "DivergedError",
    "ModelConfig",
    "Progress",
    "TrainConfig",
    "TrainResult",
    "evaluate",
    "train",
]

_HOMES = {
    "ModelConfig": "config",
    "TrainConfig": "config",
    "DivergedError": "result",
    "Progress": "result",
    "TrainResult": "result",
    "train": "session",
    "evaluate": "evaluation",
}

_EXTRA = ("torch", "accelerate")


def __getattr__(name: str) -> Any:
    """Public names load on first use; torch only with what trains."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ssmspec.training' has no attribute {name!r}")
    try:
        return getattr(import_module(f"ssmspec.training.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise UsageError(
            f"training needs {error.name}, which is not installed; install it with "
            f"pip install 'ssmspec[train]'"
        ) from None


def __dir__() -> list[str]:
    return sorted(__all__)
