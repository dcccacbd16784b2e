"""Twilio: text messages and calls to phone numbers."""
