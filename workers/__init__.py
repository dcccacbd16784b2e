"""The processes: queues, connection, codec, sandbox, telemetry, settings, embedded server."""
