"""Booking systems."""
