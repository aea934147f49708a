"""Reads the files of MovieLens 100K, 1M and 10M as GroupLens publishes them.

    ml-100k   u1.base, u1.test: user, movie, stars and time, separated by tabs; u.user and u.item: fields separated by |
    ml-1m     ratings.dat, users.dat, movies.dat: fields separated by ::
    ml-10m    ratings.dat with half stars and movies.dat, in ml-10M100K/; nothing is known about users

Needs NumPy only.  What does not fit is an error with file and line.
"""

from __future__ import annotations

import codecs
import os
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
GENRES_1M = GENRES_100K[1:]
GENRES_10M = (
    "Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror",
    "IMAX", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western", "(no genres listed)",
)  # fmt: skip
BLOCK = 1 << 25
YEAR = re.compile(r"\((\d{4})(?:\s*[-\u2013]\s*(?:\d{4})?)?\)")


class DataError(Exception):
    """The data cannot be read; the text names the file."""


@dataclass(frozen=True)
class Layout:
    """What is known beforehand about a data set."""

    name: str
    directory: str  # in the archive of GroupLens
    digest: str  # MD5 of that archive, as published beside it
    stars: Tuple[float, ...]
    genres: Tuple[str, ...]
    users: Optional[str]
    movies: str

    @property
    def archive(self) -> str:
        """Name of the archive."""
        return f"{self.name}.zip"

    def ratings(self, fold: str) -> Tuple[str, ...]:
        """Files with ratings: training and test, or one that is still to be split."""
        return (f"{fold}.base", f"{fold}.test") if self.name == "ml-100k" else ("ratings.dat",)

    def files(self, fold: str, features: bool = True) -> Tuple[str, ...]:
        """All files that are needed: without features the ratings, and what tells 1M's from 10M's."""
        others = [self.users, self.movies] if features else [self.users] if self.name == "ml-1m" else []
        return (*self.ratings(fold), *filter(None, others))


WHOLE_STARS = (1.0, 2.0, 3.0, 4.0, 5.0)
LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("ml-100k", "ml-100k", "0e33842e24a9c977be4e0107933c0723", WHOLE_STARS, GENRES_100K, "u.user", "u.item"),
        Layout("ml-1m", "ml-1m", "c4d9eecfca2ab87c1945afe126590906", WHOLE_STARS, GENRES_1M, "users.dat", "movies.dat"),
        Layout(
            "ml-10m", "ml-10M100K", "ce571fd55effeba0271552578f2648bd",
            tuple(half / 2 for half in range(1, 11)), GENRES_10M, None, "movies.dat",
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Ratings:
    """One entry for each rating, with the files' own ids."""

    users: Any
    movies: Any
    stars: Any

    def __len__(self) -> int:
        """Return the number of ratings."""
        return len(self.stars)


@dataclass(frozen=True)
class User:
    """What is known about a user."""

    age: float
    gender: str
    occupation: str


@dataclass(frozen=True)
class Movie:
    """What is known about a movie; the year is None where its title has none."""

    title: str
    year: Optional[int]
    genres: Tuple[str, ...]


@dataclass(frozen=True)
class MovieLens:
    """A data set as it is in the files: all of its ratings, or those for training and, apart, those for the test."""

    layout: Layout
    ratings: Ratings
    test: Optional[Ratings]
    users: Optional[Dict[int, User]]  # None where nothing is known or wanted of them
    movies: Optional[Dict[int, Movie]]


def read(layout: Layout, directory: str, fold: str = "u1", features: bool = True) -> MovieLens:
    """Read a data set; where features are wanted every rating's user and movie must be known."""
    parts = [read_ratings(os.path.join(directory, name), layout) for name in layout.ratings(fold)]
    users = read_users(os.path.join(directory, layout.users), layout) if features and layout.users else None
    movies = read_movies(os.path.join(directory, layout.movies), layout) if features else None
    for name, part in zip(layout.ratings(fold), parts):
        for what, ids, known, where in (
            ("user", part.users, users, layout.users),
            ("movie", part.movies, movies, layout.movies),
        ):
            missing = sorted(set(np.unique(ids).tolist()) - set(known)) if known is not None else []
            if missing:
                raise DataError(f"{os.path.join(directory, name)}: {what} {missing[0]} is not in {where}: get the data set again")
    return MovieLens(layout, parts[0], parts[1] if len(parts) == 2 else None, users, movies)


def read_ratings(path: str, layout: Layout) -> Ratings:
    """Read user, movie, stars and time of each line."""
    parts = []
    number = 0
    with open(path, "rb") as stream:
        # In blocks: 10M has 40 million numbers, and each is an object before it becomes one of an array.
        for lines in iter(lambda: stream.readlines(BLOCK), []):
            if number == 0 and lines[0].startswith(codecs.BOM_UTF8):
                lines[0] = lines[0][len(codecs.BOM_UTF8) :]
            parts.append(rating_table(path, number, lines))
            number += len(lines)
    table = np.concatenate(parts) if parts else np.empty((0, 4))
    if not len(table):
        raise DataError(f"{path}: it has no ratings")
    strange = np.flatnonzero(~np.isin(table[:, 2], layout.stars))
    if len(strange):
        raise DataError(f"{path}: rating {strange[0] + 1} has {table[strange[0], 2]:g} stars, which {layout.name} does not have")
    return Ratings(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2].astype(np.float32))


def rating_table(path: str, before: int, lines: List[bytes]) -> Any:
    """Four numbers from each line."""
    words = b"".join(lines).replace(b"::", b" ").split()
    try:
        if len(words) != 4 * sum(1 for line in lines if line.strip()):
            raise ValueError
        return np.array(words, dtype=np.float64).reshape(-1, 4)
    except ValueError:
        for number, line in enumerate(lines, before + 1):
            if line.strip() and not is_rating(line):
                said = line[:60].decode("latin-1").rstrip()
                raise DataError(f"{path}: line {number}: {said!r} is not user, movie, stars and time") from None
        raise


def is_rating(line: bytes) -> bool:
    """Whether a line holds four numbers."""
    try:
        return len([float(word) for word in line.replace(b"::", b" ").split()]) == 4
    except ValueError:
        return False


def text_lines(path: str) -> List[str]:
    """Lines of a file: UTF-8, else Latin-1, which 100K and 1M are written in."""
    with open(path, "rb") as stream:
        data = stream.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    # Not splitlines(): Latin-1 texts may hold what Unicode takes for the end of a line.
    return [line.rstrip("\r") for line in text.split("\n")]


def read_users(path: str, layout: Layout) -> Dict[int, User]:
    """Read ``id|age|gender|occupation|zip``, or ``id::gender::age::occupation::zip``."""
    users = {}
    for number, line in enumerate(text_lines(path), 1):
        if not line.strip():
            continue
        fields = line.split("|" if layout.name == "ml-100k" else "::")
        try:
            key, first, second, occupation = fields[:4]
            age, gender = (first, second) if layout.name == "ml-100k" else (second, first)
            if gender not in ("M", "F"):
                raise ValueError
            users[int(key)] = User(float(age), gender, occupation)
        except ValueError:
            raise DataError(f"{path}: line {number}: {line[:60]!r} is no user of {layout.name}") from None
    return users


def read_movies(path: str, layout: Layout) -> Dict[int, Movie]:
    """Read ``id|title|date|date|address|flags``, or ``id::title::genres``; the first line of an id counts."""
    movies: Dict[int, Movie] = {}
    for number, line in enumerate(text_lines(path), 1):
        if not line.strip():
            continue
        try:
            if layout.name == "ml-100k":
                fields = line.split("|")
                flags = fields[-len(layout.genres) :]
                if len(fields) < 5 + len(layout.genres) or set(flags) - {"0", "1"}:
                    raise ValueError
                key, title = fields[0], "|".join(fields[1 : -len(layout.genres) - 3])
                genres = tuple(genre for genre, flag in zip(layout.genres, flags) if flag == "1")
            else:
                key, _, rest = line.partition("::")
                title, separator, listed = rest.rpartition("::")  # a title may hold colons
                genres = tuple(filter(None, listed.split("|")))
                if not separator or set(genres) - set(layout.genres):
                    raise ValueError
            movies.setdefault(int(key), Movie(title, year_of(title), genres))
        except ValueError:
            raise DataError(f"{path}: line {number}: {line[:60]!r} is no movie of {layout.name}") from None
    return movies


def year_of(title: str) -> Optional[int]:
    """The last year in parentheses: what precedes it may be a part of the title, what follows it a mark such as (V)."""
    found = YEAR.findall(title)
    return int(found[-1]) if found else None
