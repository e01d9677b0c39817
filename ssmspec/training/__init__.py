"""Training from any initialization scheme, and what the spectrum does meanwhile.

Only this package imports torch, and only in modules that need it: the configuration and the tasks'
records are read without.
"""
