"""Checksummed Zarr stores that are either whole or not there."""
