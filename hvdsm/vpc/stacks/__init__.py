"""The stack of a network: planned, made, changed and followed."""
