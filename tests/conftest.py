"""Shared fixtures: the real checkpoints beside the project, and small files made on the fly."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "checkpoints"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real trained checkpoints; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("real checkpoints are not beside this checkout (../shared/checkpoints)")
    return SHARED
