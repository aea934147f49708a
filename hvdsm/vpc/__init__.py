"""VPC stacks for clusters with low latency: templates, and what they must have."""
