"""WhatsApp: messages through the Cloud API."""
