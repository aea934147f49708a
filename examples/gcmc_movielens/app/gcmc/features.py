"""What is known about users and movies as numbers: one row each.

A title becomes the mean of its words' vectors.  Without a file of GloVe vectors a word's vector is made from the word itself: a
BLAKE2 digest of it seeds a generator of normal numbers.  Such vectors are the same everywhere and nearly orthogonal, so titles
are close as far as they share words; that words mean similar things only GloVe knows.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, Dict, Iterable, List, Optional, Sequence

import numpy as np

from gcmc.movielens import DataError, Movie, User

TITLE_SIZE = 300
HASH_SCALE = 0.35  # standard deviation of the published 300-dimensional GloVe vectors' entries
YEAR_ZERO = 1950
PARENTHESES = re.compile(r"\([^()]*\)")
WORD = re.compile(r"[^\W_]+")


def user_features(users: Sequence[User]) -> Any:
    """Age / 50, whether female, occupation one-hot."""
    occupations = sorted({user.occupation for user in users})
    column = {occupation: number for number, occupation in enumerate(occupations, 2)}
    table = np.zeros((len(users), 2 + len(occupations)), dtype=np.float32)
    for row, user in zip(table, users):
        row[0], row[1], row[column[user.occupation]] = user.age / 50, user.gender == "F", 1
    return table


def movie_features(movies: Sequence[Movie], genres: Sequence[str], glove: Optional[str] = None) -> Any:
    """Title (300), (year - 1950) / 100 (0 where no year is known), genres as ones."""
    words = [title_words(movie.title) for movie in movies]
    every = sorted({word for title in words for word in title})
    vectors = read_glove(glove, set(every)) if glove else {word: hashed(word) for word in every}
    column = {genre: number for number, genre in enumerate(genres, TITLE_SIZE + 1)}
    table = np.zeros((len(movies), TITLE_SIZE + 1 + len(genres)), dtype=np.float32)
    for row, movie, title in zip(table, movies, words):
        known = [vectors[word] for word in title if word in vectors]
        if known:
            row[:TITLE_SIZE] = np.mean(known, axis=0)
        row[TITLE_SIZE] = ((movie.year or YEAR_ZERO) - YEAR_ZERO) / 100
        row[[column[genre] for genre in movie.genres]] = 1
    return table


def title_words(title: str) -> List[str]:
    """Words in lower case, without what is in parentheses: the year, other titles; the rest of it where nothing else is left."""
    return WORD.findall(PARENTHESES.sub(" ", title).lower()) or WORD.findall(title.lower())


def hashed(word: str) -> Any:
    """A vector of a word, the same in every process and on every machine."""
    seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
    return np.random.Generator(np.random.PCG64(seed)).normal(0, HASH_SCALE, TITLE_SIZE).astype(np.float32)


def read_glove(path: str, wanted: Iterable[str]) -> Dict[str, Any]:
    """Vectors of the wanted words from a text file: a word and 300 numbers a line; a directory with one such file will do."""
    if os.path.isdir(path):
        found = sorted(entry.path for entry in os.scandir(path) if entry.name.endswith(".txt"))
        if len(found) != 1:
            raise DataError(f"{path}: expected one .txt file with GloVe vectors, found {len(found)}: name the file by --glove")
        path = found[0]
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file: --glove takes a text file of words and {TITLE_SIZE} numbers, or leave it out")
    sought = set(wanted)
    vectors: Dict[str, Any] = {}
    with open(path, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            # From the right: a few of the published words hold blanks.
            fields = line.rstrip().rsplit(" ", TITLE_SIZE)
            if fields[0] in sought:
                try:
                    vectors[fields[0]] = np.array(fields[1:], dtype=np.float32)
                except ValueError:
                    vectors[fields[0]] = np.empty(0)
                if len(vectors[fields[0]]) != TITLE_SIZE:
                    raise DataError(f"{path}: line {number}: not a word and {TITLE_SIZE} numbers: take a file of 300 dimensions")
    if not vectors:
        raise DataError(f"{path}: it has none of the titles' words: is it a file of GloVe vectors?")
    return vectors
