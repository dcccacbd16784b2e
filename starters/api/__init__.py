"""The HTTP API for WedSync."""
