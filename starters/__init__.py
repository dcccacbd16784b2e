"""The doors: command line, HTTP API, typed client, schedules, codec server."""
