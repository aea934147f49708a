"""What the hosts of a graph job run: downloads, graph servers, GraphStorm's modules as ranks, uploads.

It travels in the source of the job as a package of its own, so its modules name each other relatively; Python 3.8.
"""
