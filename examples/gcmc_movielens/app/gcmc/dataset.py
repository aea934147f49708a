"""From a data set's files to numbers: contiguous ids, the split, features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Tuple

import numpy as np

from gcmc.features import movie_features, user_features
from gcmc.movielens import DataError, MovieLens, Ratings


@dataclass(frozen=True)
class Pairs:
    """Ratings by contiguous numbers: of the user, the movie, and the class, which counts the possible stars from 0."""

    users: Any
    movies: Any
    classes: Any

    def __len__(self) -> int:
        """Return the number of ratings."""
        return len(self.classes)

    def take(self, chosen: Any) -> Pairs:
        """Some of them."""
        return Pairs(self.users[chosen], self.movies[chosen], self.classes[chosen])

    def also(self, other: Pairs) -> Pairs:
        """These and others."""
        both = ((self.users, other.users), (self.movies, other.movies), (self.classes, other.classes))
        return Pairs(*(np.concatenate(pair) for pair in both))


@dataclass(frozen=True)
class Dataset:
    """All that the model is trained on and tested with."""

    stars: Tuple[float, ...]
    user_ids: Any  # the files' ids by number
    movie_ids: Any
    train: Pairs
    valid: Pairs
    test: Pairs
    user_features: Optional[Any]
    movie_features: Optional[Any]


def split(count: int, ratio: float, what: str, random: np.random.RandomState) -> Tuple[Any, Any]:
    """Draw ceil(count * ratio) of ``count`` numbers; the others come second."""
    drawn = int(np.ceil(count * ratio))
    if not 0 < drawn < count:
        raise DataError(f"a {what} ratio of {ratio:g} takes {drawn} of {count} ratings: choose one between 0 and 1")
    order = random.permutation(count)
    return order[:drawn], order[drawn:]


def latest(ratings: Ratings) -> Ratings:
    """Where a user rated a movie more than once, the last one in the file."""
    key = ratings.users * (int(ratings.movies.max()) + 1) + ratings.movies
    _, last = np.unique(key[::-1], return_index=True)
    kept = np.sort(len(key) - 1 - last)
    return Ratings(ratings.users[kept], ratings.movies[kept], ratings.stars[kept])


def without(ratings: Ratings, other: Ratings) -> Ratings:
    """Ratings whose pair is not among the others: a test pair must not be trained on."""
    width = int(max(ratings.movies.max(), other.movies.max())) + 1
    kept = ~np.isin(ratings.users * width + ratings.movies, other.users * width + other.movies)
    return Ratings(ratings.users[kept], ratings.movies[kept], ratings.stars[kept])


def build(
    source: MovieLens, test_ratio: float, valid_ratio: float, seed: Optional[int], features: bool, glove: Optional[str] = None
) -> Dataset:
    """Number users and movies that have ratings, split the ratings, and compute features where wanted.

    100K comes with its test; of the others ceil(n * test_ratio) ratings are drawn for it.  Then ceil(rest * valid_ratio).
    """
    random = np.random.RandomState(seed)
    if source.test is not None:
        test = latest(source.test)
        rest = without(latest(source.ratings), test)
    else:
        every = latest(source.ratings)
        chosen, others = split(len(every), test_ratio, "test", random)
        test, rest = (Ratings(every.users[part], every.movies[part], every.stars[part]) for part in (chosen, others))
    valid, train = split(len(rest), valid_ratio, "validation", random)
    user_ids = np.unique(np.concatenate([rest.users, test.users]))
    movie_ids = np.unique(np.concatenate([rest.movies, test.movies]))
    stars = np.array(source.layout.stars, dtype=np.float32)

    def pairs(ratings: Ratings) -> Pairs:
        tables = ((user_ids, ratings.users), (movie_ids, ratings.movies), (stars, ratings.stars))
        return Pairs(*(np.searchsorted(known, values) for known, values in tables))

    users = [source.users[int(number)] for number in user_ids] if features and source.users else None
    movies = [source.movies[int(number)] for number in movie_ids] if features and source.movies else None
    known = pairs(rest)
    return Dataset(
        stars=source.layout.stars,
        user_ids=user_ids,
        movie_ids=movie_ids,
        train=known.take(train),
        valid=known.take(valid),
        test=pairs(test),
        user_features=user_features(users) if users else None,
        movie_features=movie_features(movies, source.layout.genres, glove) if movies else None,
    )
