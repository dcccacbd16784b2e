"""What crosses every boundary: pydantic shapes, error types, names and ids."""
