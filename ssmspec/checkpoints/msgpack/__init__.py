"""Flax msgpack files: a bounded cursor over their bytes, and the file."""
