"""Statistics of a token, one a file: functions of a spectrum, or of moments, to numbers."""
