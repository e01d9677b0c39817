"""Formats of a report, one a file."""
