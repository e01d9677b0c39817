"""Shared fixtures: the real checkpoints beside the project, and small files made on the fly."""

from pathlib import Path

import pytest

from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.reading import Reading
from tests.examples.html_pages import CHROMIUM, DRIVER

SHARED = Path(__file__).resolve().parents[2] / "shared" / "checkpoints"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what this machine lacks: a green run proves less without it."""
    has = {
        "real checkpoints": SHARED.is_dir(),
        "Chromium and its driver": CHROMIUM.exists() and DRIVER.exists(),
    }
    for what, there in has.items():
        line = "there" if there else "ABSENT, the tests that need it were skipped"
        terminalreporter.write_line(f"{what}: {line}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real trained checkpoints; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("real checkpoints are not beside this checkout (../shared/checkpoints)")
    return SHARED


@pytest.fixture
def opened(tmp_path):
    """Open a checkpoint with a `--map` page: (layers, sources, skipped)."""

    def open_with(page, tensors, **reading):
        path = tmp_path / "page.toml"
        path.write_text(page)
        checkpoint = MemoryCheckpoint(tensors) if isinstance(tensors, dict) else tensors
        told = Reading(layout=path, **reading)
        layers, skipped = find_layers(Catalog(checkpoint), told)
        sources = [LayerSource(checkpoint, layer.site, told) for layer in layers]
        return layers, sources, skipped

    return open_with
