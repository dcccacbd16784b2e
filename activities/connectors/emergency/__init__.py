"""Connectors of systems that call people out."""
