"""Write files in MovieLens's formats, of ratings whose structure is known.

    python examples/gcmc_movielens/make_movielens.py --data_name ml-100k data

writes ``data/ml-100k``.  A rating is the sum of a mean, a user's and a movie's bias, the product of their hidden tastes (four
numbers each, which half follow from gender, age and genres), and noise, rounded to the possible stars.  So the best possible
prediction is known; ``structure.json`` has its error.  Popular movies are better, as in reality, and what is odd in the real
files is odd here: see ``odd_titles``.  The same arguments make the same files.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from dataclasses import asdict, dataclass, fields
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "app"))

from gcmc.movielens import GENRES_100K, LAYOUTS, Layout, year_of  # noqa: E402
from movielens_words import draw_genres, draw_people, odd_titles, plain_titles  # noqa: E402

SIZES = {"ml-100k": (943, 1682, 100000), "ml-1m": (6040, 3883, 1000209), "ml-10m": (69878, 10681, 10000054)}
TASTES = np.sqrt([0.4, 0.3, 0.2, 0.1])  # what each of them weighs; the variances add up to 1


@dataclass(frozen=True)
class Structure:
    """What ratings are made of: standard deviations, in stars.  The defaults resemble ML-100K."""

    mean: float = 3.3
    user: float = 0.44
    movie: float = 0.46
    taste: float = 0.45  # of the product of tastes
    known: float = 0.5  # share of the tastes' variance that follows from gender, age and genres
    noise: float = 0.92
    cold: float = 0.02  # share of the movies in 100K's test that its training part lacks


@dataclass(frozen=True)
class Made:
    """A data set in memory."""

    users: Any
    movies: Any
    stars: Any
    best: Any  # the best prediction of each rating
    test: Any  # whether a rating belongs to the test; all False where the files have no split
    people: List[Tuple[int, str, str, str]]  # age, gender, occupation, zip
    titles: List[str]
    genres: List[Tuple[str, ...]]
    user_ids: Any
    movie_ids: Any


def expected(latent: Any, noise: float, stars: Sequence[float]) -> Any:
    """The mean of a rating: each number of stars is chosen when the noisy value lies nearest to it."""
    edges = [(low + high) / 2 for low, high in zip(stars, stars[1:])]
    below = [0.5 * (1 + erf((edge - latent) / (noise * math.sqrt(2)))) for edge in edges]
    below = [np.zeros_like(latent), *below, np.ones_like(latent)]
    return sum(value * (high - low) for value, low, high in zip(stars, below, below[1:]))


def erf(x: Any) -> Any:
    """The error function to seven digits (Abramowitz and Stegun 7.1.26, one of NumPy's gaps)."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1 - series * np.exp(-x * x))


def draw_pairs(users: int, movies: int, ratings: int, popularity: Any, random: Any) -> Tuple[Any, Any]:
    """Which user rates which movie: active users and popular movies more often, every user at least a few."""
    least = max(1, min(20, ratings // (2 * users)))
    activity = random.lognormal(0, 1, users)
    counts = np.minimum(least + random.multinomial(ratings - least * users, activity / activity.sum()), int(0.8 * movies))
    left = ratings - counts.sum()
    while left:  # what the limit took from the most active
        room = np.flatnonzero(counts < int(0.8 * movies))
        add = random.choice(room, min(left, len(room)), replace=False)
        counts[add] += 1
        left -= len(add)
    weight = np.log(popularity)
    # The largest of weight + Gumbel noise: drawing without replacement, by weight.
    chosen = [np.argpartition(-(weight + random.gumbel(size=movies)), count - 1)[:count] for count in counts]
    return np.repeat(np.arange(users), counts), np.concatenate(chosen)


def make(layout: Layout, users: int, movies: int, ratings: int, structure: Structure, seed: int) -> Made:
    """Draw a data set."""
    odd = odd_titles(layout)
    if users < 10 or movies < 2 * len(odd) or not 4 * users <= ratings <= users * movies // 2:
        raise SystemExit(
            f"make_movielens.py: {ratings} ratings of {users} users and {movies} movies: take 10 users and {2 * len(odd)} movies "
            "or more, and ratings from 4 a user up to half of all pairs"
        )
    random = np.random.default_rng(seed)
    people = draw_people(layout, users, random)
    genres = draw_genres(layout, movies, random)
    popularity = random.lognormal(0, 1.7, movies)
    who, what = draw_pairs(users, movies, ratings, popularity, random)
    order = random.permutation(len(who))
    who, what = who[order], what[order]
    traits = np.array([[gender == "F", age / 50] for age, gender, _, _ in people], dtype=float)
    flags = np.array([[genre in listed for genre in layout.genres] for listed in genres], dtype=float)
    user_taste, movie_taste = (tastes(table, structure.known, random) for table in (traits, flags))
    liked = standard(0.6 * standard(np.log(popularity)) + 0.8 * random.normal(size=movies))
    latent = (
        structure.mean
        + structure.user * random.normal(size=users)[who]
        + structure.movie * liked[what]
        + structure.taste * (user_taste[who] * movie_taste[what]) @ TASTES
    )
    values = np.array(layout.stars)
    noisy = latent + structure.noise * random.normal(size=len(who))
    step = values[1] - values[0]
    stars = np.clip(np.round(noisy / step) * step, values[0], values[-1])
    titles = [*odd, *plain_titles(movies - len(odd), random)]
    user_ids, movie_ids = np.arange(1, users + 1), np.arange(1, movies + 1)
    if layout.name != "ml-100k":
        movie_ids = with_gaps(movies, random)
    if layout.users is None:
        user_ids = with_gaps(users, random)
    test = draw_test(layout, who, what, movies, structure.cold, random)
    best = expected(latent, structure.noise, layout.stars)
    return Made(who, what, stars, best, test, people, titles, genres, user_ids, movie_ids)


def tastes(features: Any, known: float, random: Any) -> Any:
    """Some numbers for each row, of which a share of the variance follows from its features."""
    followed = standard(features @ random.normal(size=(features.shape[1], len(TASTES))))
    own = standard(random.normal(size=(len(features), len(TASTES))))
    return standard(math.sqrt(known) * followed + math.sqrt(1 - known) * own)


def with_gaps(count: int, random: Any) -> Any:
    """Ids, a fifth of which are not in use."""
    return np.sort(random.choice(count * 5 // 4, count, False) + 1)


def standard(values: Any) -> Any:
    """Mean 0 and standard deviation 1 in each column; a constant column is 0."""
    spread = values.std(0)
    return (values - values.mean(0)) / np.where(spread > 0, spread, 1)


def draw_test(layout: Layout, who: Any, what: Any, movies: int, cold: float, random: Any) -> Any:
    """A fifth of the ratings, as in u1.test: of the first half of the users, some movies only there.  Others have no split."""
    test = np.zeros(len(who), dtype=bool)
    if layout.name == "ml-100k":
        half = (who.max() + 1) // 2
        last = np.zeros(movies, dtype=int)
        np.maximum.at(last, what, who)
        counts = np.bincount(what, minlength=movies)
        able = np.flatnonzero((last < half) & (counts > 0))
        rare = able[np.argsort(counts[able], kind="stable")][: math.ceil(cold * movies)]
        test[np.isin(what, rare)] = True
        others = np.flatnonzero((who < half) & ~test)
        wanted = min(len(who) // 5 - int(test.sum()), len(others) * 2 // 3)
        test[random.choice(others, max(0, wanted), replace=False)] = True
    return test


def write(layout: Layout, made: Made, directory: str) -> None:
    """Write the files of a data set into ``directory``."""
    os.makedirs(directory, exist_ok=True)
    times = 874724710 + 37 * np.arange(len(made.users))
    between = "\t" if layout.name == "ml-100k" else "::"
    rows = [
        between.join((str(made.user_ids[user]), str(made.movie_ids[movie]), f"{stars:g}", str(time)))
        for user, movie, stars, time in zip(made.users, made.movies, made.stars, times)
    ]

    def put(name: str, lines: Sequence[str], encoding: str = "latin-1") -> None:
        with open(os.path.join(directory, name), "w", encoding=encoding, newline="\n") as stream:
            stream.writelines(f"{line}\n" for line in lines)

    order = np.lexsort((made.movies, made.users))
    if layout.name == "ml-100k":
        put("u.data", rows)
        for name, wanted in (("u1.base", False), ("u1.test", True)):
            put(name, [rows[at] for at in order if made.test[at] == wanted])
        put("u.user", [f"{key}|{age}|{sex}|{job}|{code}" for key, (age, sex, job, code) in zip(made.user_ids, made.people)])
        put("u.item", [item_100k(*each) for each in zip(made.movie_ids.tolist(), made.titles, made.genres)])
        put("u.genre", [*(f"{genre}|{number}" for number, genre in enumerate(layout.genres)), ""])
        return
    encoding = "utf-8" if layout.name == "ml-10m" else "latin-1"
    put("ratings.dat", [rows[at] for at in order])
    lines = zip(made.movie_ids, made.titles, made.genres)
    put("movies.dat", [f"{key}::{title}::{'|'.join(genres)}" for key, title, genres in lines], encoding)
    if layout.users:
        people = zip(made.user_ids, made.people)
        put("users.dat", [f"{key}::{sex}::{age}::{job}::{code}" for key, (age, sex, job, code) in people])
    else:
        put("tags.dat", [f"{made.user_ids[0]}::{made.movie_ids[0]}::silent::874724710"])


def item_100k(key: int, title: str, genres: Tuple[str, ...]) -> str:
    """Return a line of u.item; of the movie without a title nothing else is known."""
    known = "" if title == "unknown" else f"{key % 28 + 1:02d}-Jan-{year_of(title) or 1996}"
    address = "" if title == "unknown" else f"http://us.imdb.com/M/title-exact?{key}"
    return "|".join([str(key), title, known, "", address, *("1" if genre in genres else "0" for genre in GENRES_100K)])


def rmse(stars: Any, predicted: Any) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean((stars - predicted) ** 2)))


def generate(data_name: str, parent: str, size: Sequence[int] = (), structure: Optional[Structure] = None, seed: int = 0) -> str:
    """Make a data set in its directory below ``parent``, which is returned.

    Args:
        data_name: ml-100k, ml-1m or ml-10m.
        parent: an existing directory, or one to be made.
        size: users, movies, ratings; those of the real set when empty.
        structure: what ratings are made of.
        seed: another one makes other files.
    """
    layout = LAYOUTS[data_name]
    wanted = structure or Structure()
    users, movies, ratings = size or SIZES[data_name]
    made = make(layout, users, movies, ratings, wanted, seed)
    directory = os.path.join(parent, layout.directory)
    write(layout, made, directory)
    judged = made.test if made.test.any() else np.ones(len(made.users), dtype=bool)
    facts = {
        "users": users, "movies": movies, "ratings": len(made.users), "seed": seed, "structure": asdict(wanted),
        "best_rmse": rmse(made.stars[judged], made.best[judged]),
        "best_rmse_of": "the test pairs" if made.test.any() else "all ratings",
    }  # fmt: skip
    with open(os.path.join(directory, "structure.json"), "w", encoding="utf-8") as stream:
        json.dump(facts, stream, indent=2)
    return directory


def main() -> None:
    """Make a data set as the command line says."""
    parser = argparse.ArgumentParser(description="Write files in MovieLens's formats, of ratings whose structure is known.")
    parser.add_argument("--data_name", choices=sorted(LAYOUTS), default="ml-100k", help="format (%(default)s)")
    parser.add_argument("--users", type=int, help="users (as many as the real set has)")
    parser.add_argument("--movies", type=int, help="movies (the same)")
    parser.add_argument("--ratings", type=int, help="ratings (the same)")
    parser.add_argument("--seed", type=int, default=0, help="another one makes other ratings (%(default)s)")
    for field in fields(Structure):
        parser.add_argument(f"--{field.name}", type=float, default=field.default, help=f"of {field.name} (%(default)s)")
    parser.add_argument("directory", help="gets the data set's directory")
    args = parser.parse_args()
    size = [given or usual for given, usual in zip((args.users, args.movies, args.ratings), SIZES[args.data_name])]
    structure = Structure(**{field.name: getattr(args, field.name) for field in fields(Structure)})
    directory = generate(args.data_name, args.directory, size, structure, args.seed)
    with open(os.path.join(directory, "structure.json"), encoding="utf-8") as stream:
        facts = json.load(stream)
    print(
        f"{directory}: {facts['ratings']} ratings; the best possible RMSE of {facts['best_rmse_of']} is {facts['best_rmse']:.4f}"
    )


if __name__ == "__main__":
    main()
