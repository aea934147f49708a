"""Templates of networks: rendered offline, and what they must have."""
