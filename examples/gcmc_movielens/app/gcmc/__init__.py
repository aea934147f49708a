"""Graph Convolutional Matrix Completion on MovieLens."""
