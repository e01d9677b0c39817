"""The spectrum in anybody's training loop: the monitor and what it leaves behind."""
