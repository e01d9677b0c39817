"""Kinds of figure, one a file; the table is in `ssmspec.plots`."""
