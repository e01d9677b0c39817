"""The use case behind `ssmspec check`: many checkpoints, one gate."""
