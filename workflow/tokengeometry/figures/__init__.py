"""The figures: one module each, every one a function from tables or arrays to a matplotlib Figure."""
