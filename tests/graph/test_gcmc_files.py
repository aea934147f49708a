"""MovieLens's files as the GC-MC example reads them, odd ones included, and what it says of broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict

import numpy as np
import pytest
from gcmc import dataset, features
from gcmc.finding import find_data, locate
from gcmc.movielens import LAYOUTS, DataError, MovieLens, read, year_of
from gcmc_support import SIZE, small_data

USERS = {"ml-100k": "1|24|M|technician|85711\n2|53|F|other|V3N4P\n", "ml-1m": "1::F::1::10::48067\n2::M::56::16::98107-2117\n"}
FLAGS = "0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0"


def write(directory: Path, files: Dict[str, str], encoding: str = "latin-1") -> str:
    """Write files; their directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_bytes(text.encode(encoding))
    return str(directory)


def tiny(data_name: str) -> Dict[str, str]:
    """Two users and two movies, by hand."""
    if data_name == "ml-100k":
        movies = f"1|Toys (1995)|01-Jan-1995||http://x/?Toys%20(1995)|{FLAGS}\n2|unknown||||1|{'|'.join('0' * 18)}\n"
        return {
            "u1.base": "1\t1\t5\t874965758\n2\t1\t3\t876893171\n1\t2\t1\t878542960\n",
            "u1.test": "2\t2\t4\t875072262\n", "u.user": USERS[data_name], "u.item": movies,
        }  # fmt: skip
    if data_name == "ml-1m":
        movies = "1::Mis\u00e9rables, Les (1995)::Drama|Musical\n7::Night: Part :: Two (1999)::Children's\n"
        ratings = "1::1::5::978300760\n1::7::3::978302109\n2::7::4::978301968\n"
        return {"ratings.dat": ratings, "users.dat": USERS[data_name], "movies.dat": movies}
    movies = "1::K\u014dan (1964)::IMAX|Children\n7::Pull::(no genres listed)\n"
    return {"ratings.dat": "1::1::5::838985046\n1::7::0.5::838983525\n4::7::3.5::838983392\n", "movies.dat": movies}


@pytest.mark.parametrize(
    ("data_name", "users", "movies", "titles", "years", "genres"),
    [
        ("ml-100k", 2, 2, ["Toys (1995)", "unknown"], [1995, None], [("Comedy",), ("unknown",)]),
        ("ml-1m", 2, 2, ["Mis\u00e9rables, Les (1995)", "Night: Part :: Two (1999)"], [1995, 1999],
         [("Drama", "Musical"), ("Children's",)]),
        ("ml-10m", None, 2, ["K\u014dan (1964)", "Pull"], [1964, None], [("IMAX", "Children"), ("(no genres listed)",)]),
    ],
)  # fmt: skip
def test_each_layout_is_read(
    tmp_path: Path, data_name: str, users: object, movies: int, titles: list, years: list, genres: list
) -> None:
    layout = LAYOUTS[data_name]
    place = write(tmp_path, tiny(data_name), "utf-8" if data_name == "ml-10m" else "latin-1")
    found = read(layout, place)
    assert (None if found.users is None else len(found.users)) == users and len(found.movies) == movies
    assert [movie.title for movie in found.movies.values()] == titles
    assert [movie.year for movie in found.movies.values()] == years
    assert [movie.genres for movie in found.movies.values()] == genres
    if data_name == "ml-100k":
        assert found.test is not None and found.test.stars.tolist() == [4.0] and found.ratings.stars.tolist() == [5.0, 3.0, 1.0]
        assert [(user.age, user.gender, user.occupation) for user in found.users.values()] == [
            (24, "M", "technician"),
            (53, "F", "other"),
        ]
    if data_name == "ml-1m":
        assert [(user.age, user.gender, user.occupation) for user in found.users.values()] == [(1, "F", "10"), (56, "M", "16")]
    if data_name == "ml-10m":
        assert found.ratings.stars.tolist() == [5.0, 0.5, 3.5] and found.ratings.users.tolist() == [1, 1, 4]


def told(source: MovieLens) -> object:
    """All that was read, to be compared."""
    parts = [part for part in (source.ratings, source.test) if part is not None]
    return [(part.users.tolist(), part.movies.tolist(), part.stars.tolist()) for part in parts], source.users, source.movies


@pytest.mark.parametrize("data_name", ["ml-100k", "ml-1m", "ml-10m"])
@pytest.mark.parametrize(
    ("before", "end", "after", "encoding"),
    [
        ("", "\r\n", "", "latin-1"),
        ("", "\r\n", "\r\n \r\n", "utf-8"),
        ("\ufeff", "\n", "\n\n", "utf-8"),
        ("", "\n", "\t\n", "latin-1"),
    ],
    ids=["crlf", "crlf, blank lines", "byte order mark", "latin-1"],
)
def test_ends_of_lines_and_encodings_do_not_matter(
    tmp_path: Path, data_name: str, before: str, end: str, after: str, encoding: str
) -> None:
    layout = LAYOUTS[data_name]
    files = {name: text.replace("K\u014dan", "K\u00e9an") for name, text in tiny(data_name).items()}
    plain = read(layout, write(tmp_path / "plain", files))
    other = {name: before + text.replace("\n", end) + after for name, text in files.items()}
    assert told(read(layout, write(tmp_path / "other", other, encoding))) == told(plain)
    other = {name: before + text.rstrip("\n").replace("\n", end) for name, text in files.items()}
    assert told(read(layout, write(tmp_path / "cut", other, encoding))) == told(plain)


@pytest.mark.parametrize(
    ("data_name", "name", "text", "told"),
    [
        ("ml-1m", "ratings.dat", "1::1::5::1\n1::7::x::2\n", "ratings.dat: line 2: '1::7::x::2' is not user, movie, stars"),
        ("ml-1m", "ratings.dat", "1::1::5::1\n\n1::7::3\n", "ratings.dat: line 3: "),
        ("ml-1m", "ratings.dat", "", "ratings.dat: it has no ratings"),
        ("ml-1m", "ratings.dat", "1::1::5::1\n1::7::3.5::2\n", "rating 2 has 3.5 stars, which ml-1m does not have"),
        ("ml-1m", "ratings.dat", "1::1::5::1\n3::7::3::2\n", "ratings.dat: user 3 is not in users.dat"),
        ("ml-100k", "u1.test", "1\t9\t5\t1\n", "u1.test: movie 9 is not in u.item"),
        ("ml-100k", "u.item", "1|Toys (1995)|0|0\n", "u.item: line 1: '1|Toys (1995)|0|0' is no movie of ml-100k"),
        ("ml-100k", "u.user", "1|M|24|x|y\n", "u.user: line 1: "),
        ("ml-10m", "movies.dat", "1::A (1999)::Children's\n", "movies.dat: line 1: "),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, data_name: str, name: str, text: str, told: str) -> None:
    place = write(tmp_path, {**tiny(data_name), name: text})
    with pytest.raises(DataError) as caught:
        read(LAYOUTS[data_name], place)
    assert told in str(caught.value) and str(caught.value).startswith(place)


@pytest.mark.parametrize("inside", ["", "ml-10M100K", "ml-10m", "anything", "ml-10m/ml-10M100K", "some/data/ml-10M100K"])
def test_the_directory_is_found(tmp_path: Path, inside: str) -> None:
    place = write(tmp_path / inside, tiny("ml-10m"), "utf-8")
    write(tmp_path / "__MACOSX" / "ml-10M100K", {"ratings.dat": "x"})
    assert locate(LAYOUTS["ml-10m"], [str(tmp_path / "missing"), str(tmp_path)]) == place.rstrip("/")
    assert locate(LAYOUTS["ml-1m"], [str(tmp_path)]) is None


def test_data_sets_side_by_side_are_told_apart(tmp_path: Path) -> None:
    places = {name: write(tmp_path / layout.directory, tiny(name), "utf-8") for name, layout in LAYOUTS.items()}
    for name, layout in LAYOUTS.items():
        assert locate(layout, [str(tmp_path)]) == places[name]
    write(tmp_path / "a copy", tiny("ml-100k"))
    assert locate(LAYOUTS["ml-100k"], [str(tmp_path)]) == places["ml-100k"]
    assert locate(LAYOUTS["ml-10m"], [places["ml-1m"]]) is None


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    def find(data_name: str, features: bool = True) -> MovieLens:
        return find_data(LAYOUTS[data_name], str(tmp_path), str(tmp_path / "own"), features=features, url="file:///nothing")

    with pytest.raises(DataError) as caught:
        find("ml-100k")
    assert str(caught.value).startswith(f"{tmp_path}: neither u1.base, u1.test, u.user, u.item nor ml-100k.zip is there")
    assert "file:///nothing: " in str(caught.value) and "--data_dir DIR" in str(caught.value)
    write(tmp_path / "ml-100k", tiny("ml-100k"))
    with pytest.raises(DataError, match="it has ml-100k, not ml-1m: say --data_name ml-100k"):
        find("ml-1m")
    (tmp_path / "ml-100k" / "u.item").unlink()
    with pytest.raises(DataError, match=r"ml-100k: u\.item of ml-100k is missing: add it, or train without features"):
        find("ml-100k")
    with pytest.raises(DataError, match=r"u\.item of ml-100k is missing"):
        find_data(LAYOUTS["ml-100k"], str(tmp_path), str(tmp_path), url="file:///nothing")
    source = find("ml-100k", features=False)
    assert source.users is None and source.movies is None and len(source.ratings) == 3
    (tmp_path / "ml-100k" / "u1.test").unlink()
    with pytest.raises(DataError, match=r"ml-100k: u1\.test of ml-100k is missing: add it$"):
        find("ml-100k", features=False)


@pytest.mark.parametrize("features", [True, False])
def test_large_data_sets_are_not_taken_for_each_other(tmp_path: Path, features: bool) -> None:
    def find(data_name: str) -> MovieLens:
        return find_data(LAYOUTS[data_name], str(tmp_path), str(tmp_path / "own"), features=features, url="file:///nothing")

    write(tmp_path / "data", tiny("ml-1m"))
    with pytest.raises(DataError, match="it has ml-1m, not ml-10m: say --data_name ml-1m"):
        find("ml-10m")
    assert len(find("ml-1m").ratings) == 3
    (tmp_path / "data" / "users.dat").unlink()
    with pytest.raises(DataError, match=r"users\.dat of ml-1m is missing: add it, or say --data_name ml-10m if it is that"):
        find("ml-1m")


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("2001: A Road Story (1968)", 1968),
        ("1984 (Nineteen) (1984)", 1984),
        ("Return (1995) (V)", 1995),
        ("Series, The (1979-1981)", 1979),
        ("Series, The (2003- )", 2003),
        ("unknown", None),
        ("1941", None),
    ],
)
def test_years(title: str, year: object) -> None:
    assert year_of(title) == year


def test_the_last_of_two_ratings_counts_and_no_test_pair_is_trained_on(tmp_path: Path) -> None:
    base = "".join(f"{user}\t{movie}\t{1 + (user + movie) % 5}\t1\n" for user in (1, 2) for movie in range(1, 8))
    movies = "".join(f"{number}|T{number} (1995)|||x|{FLAGS}\n" for number in range(1, 10))
    files = {
        "u1.base": base + "1\t3\t2\t9\n", "u1.test": "2\t4\t5\t1\n1\t8\t3\t1\n",
        "u.item": movies, "u.user": USERS["ml-100k"] + "3|30|M|other|00000\n",
    }  # fmt: skip
    data = dataset.build(read(LAYOUTS["ml-100k"], write(tmp_path, files)), 0.1, 0.1, 123, True)
    every = data.train.also(data.valid)
    rated = {
        (int(data.user_ids[u]), int(data.movie_ids[m])): data.stars[c]
        for u, m, c in zip(every.users, every.movies, every.classes)
    }
    assert len(rated) == len(every) == 13 and rated[1, 3] == 2 and (2, 4) not in rated
    assert data.movie_ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 8] and data.user_ids.tolist() == [1, 2]  # the others have no ratings
    assert len(data.valid) == 2 and len(data.test) == 2


@pytest.mark.parametrize("data_name", ["ml-100k", "ml-1m", "ml-10m"])
def test_generated_files_split_and_features(tmp_path: Path, data_name: str) -> None:
    place = small_data(tmp_path, data_name)
    again = small_data(tmp_path / "again", data_name)
    for file in sorted(place.iterdir()):
        assert file.read_bytes() == (again / file.name).read_bytes(), file.name
    layout = LAYOUTS[data_name]
    source = read(layout, str(place))
    data, same, other = (dataset.build(source, 0.1, 0.1, seed, True) for seed in (123, 123, 5))
    assert data.train.users.tolist() == same.train.users.tolist() != other.train.users.tolist()
    parts = [set(zip(part.users.tolist(), part.movies.tolist())) for part in (data.train, data.valid, data.test)]
    total = sum(map(len, parts))
    assert len(set.union(*parts)) == total == json.loads((place / "structure.json").read_text())["ratings"]
    if data_name == "ml-100k":
        assert len(data.test) == len((place / "u1.test").read_text().splitlines())
        assert max(data.user_ids[data.test.users]) <= SIZE[0] // 2
    else:
        assert len(data.test) == -(-total // 10)
    assert len(data.valid) == -(-(total - len(data.test)) // 10)
    for side, ids in (("users", data.user_ids), ("movies", data.movie_ids)):
        seen = np.unique(np.concatenate([getattr(part, side) for part in (data.train, data.valid, data.test)]))
        assert seen.tolist() == list(range(len(ids))) and len(set(ids.tolist())) == len(ids)
    assert data.movie_features.shape == (len(data.movie_ids), 300 + 1 + len(layout.genres))
    known = [source.movies[int(number)] for number in data.movie_ids]
    assert data.movie_features[:, 300].tolist() == pytest.approx([((movie.year or 1950) - 1950) / 100 for movie in known])
    assert data.movie_features[:, 301:].sum(1).tolist() == [len(movie.genres) for movie in known]
    if data_name == "ml-10m":
        assert data.user_features is None and len(data.stars) == 10
    else:
        people = [source.users[int(number)] for number in data.user_ids]
        assert data.user_features[:, 0].tolist() == pytest.approx([user.age / 50 for user in people])
        assert data.user_features[:, 1].tolist() == [user.gender == "F" for user in people]
        assert data.user_features[:, 2:].sum(1).tolist() == [1] * len(people) and data.user_features.shape[1] <= 23


def test_titles_are_close_as_far_as_they_share_words(tmp_path: Path) -> None:
    names = ["Lost River, The (1990)", "The Lost River", "Lost Night (1990)", "Crimson Winter", "(1999)"]
    movies = [features.Movie(name, None, ()) for name in names]
    vectors = features.movie_features(movies, [])[:, :300]
    closeness = np.corrcoef(vectors[:4])
    assert closeness[0, 1] == pytest.approx(1) and 0.3 < closeness[0, 2] < 0.6 and abs(closeness[0, 3]) < 0.2
    assert vectors[4].any() and 0.2 < vectors[3].std() < 0.3  # a year alone is better than nothing
    assert features.hashed("river")[:3].tolist() == pytest.approx(features.hashed("river")[:3].tolist())


def test_glove_vectors_are_taken_from_a_file(tmp_path: Path) -> None:
    lines = [f"{word} {' '.join([str(value)] * 300)}" for word, value in (("lost", 1), ("river", 3), (". . .", 5))]
    (tmp_path / "glove.txt").write_text("\n".join(lines) + "\n")
    movies = [features.Movie("Lost River (1990)", 1990, ("Drama",)), features.Movie("Elsewhere", None, ())]
    table = features.movie_features(movies, ["Drama"], str(tmp_path))
    assert set(table[0, :300].tolist()) == {2.0} and not table[1].any()
    assert table[0, 300:].tolist() == pytest.approx([0.4, 1])
    (tmp_path / "short.txt").write_text("lost 1 2 3\n")
    with pytest.raises(DataError, match="found 2: name the file"):
        features.movie_features(movies, ["Drama"], str(tmp_path))
    with pytest.raises(DataError, match=r"none.txt: no such file: --glove takes a text file"):
        features.movie_features(movies, ["Drama"], str(tmp_path / "none.txt"))
    with pytest.raises(DataError, match=r"line 1: not a word and 300 numbers"):
        features.movie_features(movies, ["Drama"], str(tmp_path / "short.txt"))
