"""Plain predictions of ratings in NumPy, to judge GC-MC by: the mean, biases, and matrix factorisation."""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np


def rmse(actual: Any, predicted: Any) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean((actual - predicted) ** 2)))


def biases(users: Any, movies: Any, stars: Any, counts: Tuple[int, int], damping: float = 8.0) -> Tuple[float, Any, Any]:
    """The mean, and what users and movies add to it, by alternating damped means."""
    mean = stars.mean()
    of_users, of_movies = np.zeros(counts[0]), np.zeros(counts[1])
    for _ in range(15):
        rest = stars - mean - of_users[users]
        of_movies = np.bincount(movies, rest, counts[1]) / (np.bincount(movies, minlength=counts[1]) + damping)
        rest = stars - mean - of_movies[movies]
        of_users = np.bincount(users, rest, counts[0]) / (np.bincount(users, minlength=counts[0]) + damping)
    return mean, of_users, of_movies


def factors(
    users: Any, movies: Any, residues: Any, counts: Tuple[int, int], rank: int, damping: float, rounds: int = 12
) -> Tuple[Any, Any]:
    """Users' and movies' vectors whose products come near the residues, by alternating least squares."""
    random = np.random.default_rng(0)
    found = [random.normal(0, 0.1, (count, rank)) for count in counts]
    for _ in range(rounds):
        for side, own, other in ((0, users, movies), (1, movies, users)):
            vectors = found[1 - side][other]
            left = np.zeros((counts[side], rank, rank))
            right = np.zeros((counts[side], rank))
            order = np.argsort(own, kind="stable")
            starts = np.searchsorted(own[order], np.arange(counts[side] + 1))
            for node in range(counts[side]):
                mine = order[starts[node] : starts[node + 1]]
                left[node] = vectors[mine].T @ vectors[mine]
                right[node] = vectors[mine].T @ residues[mine]
            found[side] = np.linalg.solve(left + damping * np.eye(rank), right[..., None])[..., 0]
    return found[0], found[1]
