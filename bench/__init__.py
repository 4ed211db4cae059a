"""Measurements for docs/performance.md; none of it is part of the study."""
