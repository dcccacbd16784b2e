"""Keys and envelopes."""
