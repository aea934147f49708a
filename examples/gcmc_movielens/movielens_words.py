"""People, genres and titles of made-up data sets, odd where the real files are."""

from __future__ import annotations

from typing import Any, List, Tuple

import numpy as np
from gcmc.movielens import Layout

OCCUPATIONS = [
    "administrator",
    "artist",
    "doctor",
    "educator",
    "engineer",
    "entertainment",
    "executive",
    "healthcare",
    "homemaker",
    "lawyer",
    "librarian",
    "marketing",
    "none",
    "other",
    "programmer",
    "retired",
    "salesman",
    "scientist",
    "student",
    "technician",
    "writer",
]
AGES_1M = (1, 18, 25, 35, 45, 50, 56)
ZIPS = ("85711", "94043", "V3N4P", "T8H1N", "98107-2117", "00000")
FIRST = ["Lost", "Silent", "Golden", "Broken", "Last", "Secret", "Wild", "Dark", "Little", "Great", "Crimson", "Endless"]
SECOND = ["River", "House", "Night", "Summer", "Garden", "Letter", "Voyage", "Road", "Winter", "Mirror", "Harbour", "Song"]


def draw_people(layout: Layout, users: int, random: Any) -> List[Tuple[int, str, str, str]]:
    """Age, gender, occupation and zip code of each user."""
    ages = random.choice(AGES_1M, users) if layout.name == "ml-1m" else random.integers(7, 74, users)
    jobs = [str(number) for number in range(21)] if layout.name == "ml-1m" else OCCUPATIONS
    genders = np.where(random.random(users) < 0.29, "F", "M")
    return [
        (int(age), str(gender), jobs[int(random.integers(len(jobs)))], ZIPS[int(random.integers(len(ZIPS)))])
        for age, gender in zip(ages, genders)
    ]


def draw_genres(layout: Layout, movies: int, random: Any) -> List[Tuple[str, ...]]:
    """One to three genres; of odd movies that has none, or none that is known."""
    none = {"ml-100k": ("unknown",), "ml-10m": ("(no genres listed)",)}.get(layout.name)
    real = [genre for genre in layout.genres if genre not in ("unknown", "(no genres listed)")]
    found = []
    for number in range(movies):
        chosen = set(random.choice(len(real), int(random.integers(1, 4)), replace=False).tolist())
        found.append(none if none and number == 0 else tuple(genre for at, genre in enumerate(real) if at in chosen))
    return found


def odd_titles(layout: Layout) -> List[str]:
    """Titles as odd as the real files' own: no year, marks and other titles beside it, years in the title, accents, twins."""
    common = [
        "unknown" if layout.name == "ml-100k" else "Untitled Reel",
        "Mis\u00e9rables de la rivi\u00e8re, Les (1995)",
        "Town of Lost Bells, The (Cit\u00e9 des cloches, La) (1995)",
        "Long Summer III: The Return (1995) (V)",
        "2001: A Road Story (1968)",
        "1984 (Nineteen Ninety-Four) (1984)",
        "Chasing Bella (1997)",
        "Chasing Bella (1997)",
        "8 1/2 Letters (1963)",
        "$1,000 & a Dream! (1971)",
    ]
    more = {
        "ml-1m": ["Night: Part :: Two (1999)"],
        "ml-10m": ["K\u014dan (1964)", "Series, The (1979-1981)", "Night: Part :: Two (1999)"],
    }
    return common + more.get(layout.name, [])


def plain_titles(count: int, random: Any) -> List[str]:
    """Titles of a few words and a year."""
    words = random.integers(0, len(FIRST), (count, 2))
    years = random.integers(1922, 2000, count)
    return [f"{FIRST[first]} {SECOND[second]} {at}, The ({year})" for at, ((first, second), year) in enumerate(zip(words, years))]
