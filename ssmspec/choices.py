"""What a user chooses from on the command line and in the library; light enough for `--help`."""

from __future__ import annotations

from enum import StrEnum


class Knob(StrEnum):
    """What is scaled. `DT`: every step size. `XI`: every decay, at fixed angles."""

    DT = "dt"
    XI = "xi"


class DtPolicy(StrEnum):
    """What becomes of a layer's step sizes dt, where it has any.

    `KEEP`: the layer's own dt, and A = log_pole / dt. `ONE`: dt = 1, and A = log_pole.
    """

    KEEP = "keep"
    ONE = "one"


class CPolicy(StrEnum):
    """What becomes of C, which belongs to the poles that were there.

    `KEEP`: stays as it is. `FIT`: the least-squares C with which the new poles reproduce the old
    kernels. `RESET`: drawn as the family's own code draws it at the start.
    """

    KEEP = "keep"
    FIT = "fit"
    RESET = "reset"
