"""What a kind of figure is: something to draw, and a function that draws it.

To add a kind, write one file with one `Kind` record and add it to the table in
`ssmspec/plots/__init__.py`; a third party publishes the same record under the entry-point group
`ssmspec.plots`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeAlias, TypeVar

from matplotlib.figure import Figure

from ssmspec.errors import NoLayersError
from ssmspec.results.layer_view import LayerView

Drawn = TypeVar("Drawn")
"""What is drawn; which type it is `Kind.subject` says."""


class Subject(StrEnum):
    """What a kind of figure shows.

    `LAYERS`: the state-space layers of a model, an iterable of `LayerView`. `SWEEP`: a `Sweep`.
    `TRAJECTORY`: a `Trajectory`. `SCHEMES`: a `SchemeGrid`, which needs no model.
    """

    LAYERS = "layers"
    SWEEP = "sweep"
    TRAJECTORY = "trajectory"
    SCHEMES = "schemes"


@dataclass(frozen=True)
class PlotOptions:
    """What may be chosen of a figure.

    Attributes:
        against: id of the scheme whose poles stand beside the layer's, for kinds that compare.
    """

    against: str = "dfout"


DEFAULTS = PlotOptions()

Layers: TypeAlias = Iterable[LayerView]


@dataclass(frozen=True)
class Kind(Generic[Drawn]):
    """One kind of figure.

    Attributes:
        id: stable name, as on the command line.
        title: what it shows, in a few words.
        summary: one line for people.
        subject: what `draw` takes.
        draw: the figure.
        compares: whether it shows a scheme's poles beside the layer's.
        kernels: of `LAYERS`, whether it needs the layers' kernels.
    """

    id: str
    title: str
    summary: str
    subject: Subject
    draw: Callable[[Drawn, PlotOptions], Figure]
    compares: bool = False
    kernels: bool = False


AnyKind: TypeAlias = Kind[Any]


def require_some(drawn: Sequence[object], kind: str, reason: str) -> None:
    """Refuse a figure on which every cell would be a sentence.

    Raises:
        NoLayersError: nothing can be drawn.
    """
    if not drawn:
        raise NoLayersError(
            f"no layer can be drawn as {kind}: {reason} (ssmspec list plots shows other kinds)"
        )
