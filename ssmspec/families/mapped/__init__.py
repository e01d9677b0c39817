"""Layers that a page of the user describes (`--map`): the page, and the family made of it."""
