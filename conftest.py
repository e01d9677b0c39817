"""Before anything loads numpy or torch: threads of several test processes only wait in turn."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
