"""Sources of report records."""
