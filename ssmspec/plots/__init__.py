"""Figures: one kind a file. Only this package imports matplotlib."""
