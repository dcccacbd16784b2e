"""How connectors reach their vendors."""
