"""A vision transformer as a chain of links, and its weights from any source in one form."""
