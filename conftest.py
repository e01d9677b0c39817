"""Before anything loads numpy: BLAS threads of several test processes only wait for one another."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
