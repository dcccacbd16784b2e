"""Stateful stand-ins of the vendors' APIs, written from vendor documents."""
