"""Deleting a network's stack: not while it is in use."""
