"""What a family is: one parameterization of state-space layers, found, read and written back.

To add a family, write one file with one frozen `Family` record and add its name to the table in
`ssmspec/families/__init__.py`; a third party publishes the same record under the entry-point group
`ssmspec.families`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.base import Checkpoint
from ssmspec.errors import LayoutError, UsageError
from ssmspec.families.catalog import Catalog
from ssmspec.kernel import Kernel
from ssmspec.naming import printable
from ssmspec.outcome import Skipped
from ssmspec.reading import Discretization, DtTransform, Reading
from ssmspec.spectrum import LayerSpectrum


@dataclass(frozen=True)
class LayerSite:
    """Where one layer's parameters are stored.

    Attributes:
        name: the layer's name, the dotted path of the module that holds its poles.
        tensors: role -> tensor name. Roles are the family's own words for its parameters.
        variant: a family's own word for one of several layouts it reads.
    """

    name: str
    tensors: Mapping[str, str]
    variant: str = ""


@dataclass(frozen=True)
class LayerSource:
    """One site together with the checkpoint it is in and the user's reading options."""

    checkpoint: Checkpoint
    site: LayerSite
    reading: Reading

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.site.name

    def read(self, role: str) -> Array:
        """The tensor in a role, in its stored shape, as float64 or complex128."""
        return self.checkpoint.read(self.site.tensors[role])

    def has(self, role: str) -> bool:
        """Whether the site has a tensor in this role."""
        return role in self.site.tensors

    def shape(self, role: str) -> tuple[int, ...]:
        """Stored shape of the tensor in a role."""
        return self.checkpoint.info(self.site.tensors[role]).shape

    def dtype(self, role: str) -> str:
        """Stored dtype of the tensor in a role."""
        return self.checkpoint.info(self.site.tensors[role]).dtype


Found = LayerSite | Skipped


@dataclass(frozen=True)
class Parameters:
    """Which of a family's tensors set what, by their roles; what a site lacks is passed over.

    Attributes:
        decay: how fast modes forget.
        angle: at which frequency they turn.
        step: the step sizes.
        own_constant: the value that public code starts every step-size parameter from, where it
            starts them all from one.
        own_channel_constant: likewise of a layer with several step sizes for each rate.
        rates_from_zero: whether public code draws rates of decay from 0 up, so that a head in a
            thousand hardly decays by chance.
    """

    decay: tuple[str, ...] = ()
    angle: tuple[str, ...] = ()
    step: tuple[str, ...] = ()
    own_constant: float | None = None
    own_channel_constant: float | None = None
    rates_from_zero: bool = False


@dataclass(frozen=True)
class Family:
    """One parameterization.

    Attributes:
        id: stable name, as in reports and on the command line.
        title: name for people, e.g. "S4D".
        summary: one line: where this parameterization comes from and what it stores.
        formula: how stored numbers become discrete poles, in words and symbols.
        source: public repository and file the layout was read from.
        find: sites (or skipped look-alikes) in a catalog.
        read: one site's spectrum. Raises LayoutError where tensors do not fit together.
        write: the tensors to store so that `read` gives this spectrum back: tensor name -> array
            of the stored shape, float64 or complex128; only tensors that poles and step sizes
            force to change. Raises SchemeError where the family cannot hold the spectrum.
        known_inits: ids of the initialization schemes this family's public code offers; empty
            where initial poles are random.
        discretizations: what the family can be discretized with; the first is its default. More
            than one means the file does not say, and `--discretization` decides.
        dt_transforms: likewise for `--dt-transform`; empty where the transform is fixed.
        is_complex: whether its poles can oscillate.
        split: end of a tensor's name -> the axis along which tensor parallelism splits it; tensors
            that are not plain parts put together (fused projections) are not among them.
        assumable: what `--assume` can say of it that its files do not.
        read_kernel: the kernel that the stored B and C make with a spectrum of this layer, be it
            the stored one or one that `write` would store. Raises LayoutError where B or C is not
            in the file or does not fit. None where B and C depend on the input or are not known.
        write_kernel: the tensors to store so that `read_kernel` gives this kernel back at its own
            spectrum: C alone. Raises SchemeError where no C does.
        reset_kernel: a C drawn as the family's public code draws it at the start.
        parameters: which tensors set what, for findings to name.
    """

    id: str
    title: str
    summary: str
    formula: str
    source: str
    find: Callable[[Catalog], Iterable[Found]]
    read: Callable[[LayerSource], LayerSpectrum]
    write: Callable[[LayerSource, LayerSpectrum], Mapping[str, Array]]
    known_inits: tuple[str, ...] = ()
    discretizations: tuple[Discretization, ...] = (Discretization.ZOH,)
    dt_transforms: tuple[DtTransform, ...] = field(default=())
    is_complex: bool = True
    split: Mapping[str, int] = field(default_factory=dict)
    assumable: tuple[str, ...] = ()
    read_kernel: Callable[[LayerSource, LayerSpectrum], Kernel] | None = None
    write_kernel: Callable[[LayerSource, Kernel], Mapping[str, Array]] | None = None
    reset_kernel: (
        Callable[[LayerSource, LayerSpectrum, np.random.Generator], Mapping[str, Array]] | None
    ) = None
    parameters: Parameters = Parameters()


def choose_discretization(
    source: LayerSource, offered: tuple[Discretization, ...], told: str
) -> tuple[Discretization, tuple[str, ...]]:
    """The user's choice or the family's default with the sentence that states the assumption.

    Args:
        source: the layer.
        offered: the family's discretizations, default first.
        told: what decides it in the original code, for the assumption's sentence.

    Raises:
        UsageError: the user asked for one this family is never discretized with.
    """
    wanted = source.reading.discretization
    if wanted is None:
        default = offered[0]
        if len(offered) == 1:
            return default, ()
        return default, (f"{told}; taken as {default.value} (--discretization changes it)",)
    if wanted not in offered:
        valid = ", ".join(choice.value for choice in offered)
        raise UsageError(
            f"{printable(source.name)} is always discretized with {valid}; "
            f"--discretization {wanted.value} does not apply to it"
        )
    return wanted, ()


def require_shape(source: LayerSource, role: str, shape: tuple[int, ...]) -> None:
    """Check a stored shape.

    Raises:
        LayoutError: it differs; the message names the tensor and both shapes.
    """
    found = source.shape(role)
    if found != shape:
        raise LayoutError(
            f"{printable(source.site.tensors[role])} has shape {found}, expected {shape}"
        )
