"""Layers of activations: on disk, link after link, or in memory, all in one pass."""
