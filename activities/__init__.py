"""The ground: everything that touches the outside."""
