"""The decisions: one workflow per file."""
