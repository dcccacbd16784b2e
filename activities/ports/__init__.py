"""One Protocol per family of systems."""
