"""Synapse's stand-in: a small TDS server over DuckDB, with the part of Azure's blob store that a COPY INTO needs."""
