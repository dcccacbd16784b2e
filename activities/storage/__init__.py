"""What outlives a workflow."""
