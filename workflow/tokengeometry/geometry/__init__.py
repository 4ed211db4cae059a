"""What is measured of a layer: moments, spectra, correlation, clusters, statistics."""
