"""The command line `wedsync`."""
