"""What several kinds of figure draw alike."""
