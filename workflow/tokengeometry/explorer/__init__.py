"""The explorer: a study's results as pages that need no server. Nothing here needs torch."""
