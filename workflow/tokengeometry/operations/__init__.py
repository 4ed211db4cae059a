"""What runs the study rather than measures: cost, resources, fingerprints, devices, logs."""
