"""Communication platforms."""
