"""Array types used across the package. All diagnostics run in float64 and complex128."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Bools = NDArray[np.bool_]

__all__ = ["Array", "Bools", "Complexes", "Floats"]
