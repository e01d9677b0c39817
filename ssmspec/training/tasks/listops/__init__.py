"""ListOps: the trees, and the task."""
