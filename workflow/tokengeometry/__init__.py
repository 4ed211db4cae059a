"""Information geometry of every token at every layer of a vision transformer."""
