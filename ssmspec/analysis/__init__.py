"""The one way into a model, and what only reads: report, comparison, against, sweep."""
