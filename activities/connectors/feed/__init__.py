"""Connectors of systems that tell what happens in the world."""
