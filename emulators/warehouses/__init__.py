"""What the stand-ins of the SQL warehouses share: their environment, their process, and their faults."""
