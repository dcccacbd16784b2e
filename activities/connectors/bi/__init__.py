"""BI platforms."""
