"""The use case behind `ssmspec check`: many checkpoints, one gate.

`check` judges; `nearest_config` finds the configuration that the command line would use.
"""

from ssmspec.checking.baseline import write_baseline
from ssmspec.checking.config import nearest_config
from ssmspec.checking.gate import NOT_WRITTEN, check

__all__ = ["NOT_WRITTEN", "check", "nearest_config", "write_baseline"]
