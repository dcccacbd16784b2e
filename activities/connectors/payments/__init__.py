"""Payment processors."""
