"""Slack: messages to channels, and the buttons under them."""
