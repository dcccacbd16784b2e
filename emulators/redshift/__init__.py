"""Redshift's stand-in: a real PostgreSQL behind a gate that speaks and restricts as Redshift does."""
