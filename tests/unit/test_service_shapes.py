"""The checks made from botocore's service model: generated for every constraint that a CreateTrainingJob request can break."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from request_samples import IMAGE, MINIMAL, PLAN, SPOT, VALID, at, changed, places

from hvdsm.aws.shape_model import input_shape, service_model, shape
from hvdsm.aws.shape_patterns import compiled, matches, translate
from hvdsm.aws.shapes import check_service_request, problems
from hvdsm.compose.fields import BOOLEAN, FIELDS, INTEGER, STRING
from hvdsm.compose.limits import LIMITS, check_request
from hvdsm.compose.problems import path_text
from hvdsm.errors import ConfigError

# Values that their patterns accept; every other string may be a letter.
SAMPLES = {
    "TrainingRepositoryCredentialsProviderArn": "arn:aws:lambda:eu-west-1:123456789012:function:f",
    "RoleArn": "arn:aws:iam::123456789012:role/r",
    "S3Uri": "s3://bucket/key",
    "HubDataSetArn": "arn:aws:sagemaker:eu-west-1:aws:hub-content/hub/DataSet/d/1.0.0",
    "FileSystemId": "fs-01234567",
    "TrainingPlanArn": PLAN,
    "ServerlessJobBaseModelArn": "arn:aws:sagemaker:eu-west-1:aws:hub-content/hub/Model/m/1.0.0",
    "SequenceLength": "32K",
    "MlFlowResourceArn": "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/s",
    "ModelPackageGroupArn": "arn:aws:sagemaker:eu-west-1:123456789012:model-package-group/g",
    "ModelPackageArn": "arn:aws:sagemaker:eu-west-1:123456789012:model-package/g/1",
}
WRONG = {
    "string": [5, True, None, ["x"], {"x": "y"}],
    "integer": ["5", 1.5, True, None, [1]],
    "long": ["5", 1.5, False, None, {}],
    "boolean": ["true", 1, 0, None, []],
    "list": ["x", 5, None, {}],
    "map": ["x", 5, None, []],
    "structure": ["x", 5, None, []],
}


def full(name: str) -> Any:
    """A value of a shape with every field filled; one entry in each list and map."""
    kind = shape(name)
    if kind["type"] == "structure":
        return {field: full(member["shape"]) for field, member in kind["members"].items()}
    if kind["type"] == "list":
        return [full(kind["member"]["shape"])] * max(kind.get("min", 1), 1)
    if kind["type"] == "map":
        return {full(kind["key"]["shape"]): full(kind["value"]["shape"])}
    if kind["type"] == "boolean":
        return True
    if kind["type"] in ("integer", "long"):
        return max(kind.get("min", 1), 1)
    return kind["enum"][0] if "enum" in kind else SAMPLES.get(name, "a" * max(kind.get("min", 1), 1))


def shapes_of(name: str, place: Tuple[Any, ...] = ()) -> Iterator[Tuple[Tuple[Any, ...], str]]:
    """Every place of ``full`` and the shape there."""
    yield place, name
    kind = shape(name)
    if kind["type"] == "structure":
        for field, member in kind["members"].items():
            yield from shapes_of(member["shape"], (*place, field))
    elif kind["type"] == "list":
        yield from shapes_of(kind["member"]["shape"], (*place, 0))
    elif kind["type"] == "map":
        yield from shapes_of(kind["value"]["shape"], (*place, full(kind["key"]["shape"])))


FULL = full(input_shape())
ALL = list(shapes_of(input_shape()))


def violations() -> Iterator[Tuple[str, Any, str, List[str]]]:
    """A request that breaks exactly one constraint, the path that the message begins with, and words that it must have."""
    for place, name in ALL:
        kind, path = shape(name), path_text(place)
        for value in WRONG[kind["type"]]:
            if place:
                words = ["must be", "null" if value is None else "a list" if isinstance(value, list) else "not"]
                yield f"{path} type {value!r}", changed(FULL, place, value), path, words
        if kind["type"] == "structure":
            for field in kind.get("required") or ():
                yield (
                    f"{path} without {field}",
                    changed(FULL, (*place, field), ...),
                    path_text((*place, field)),
                    ["must be given"],
                )
            unknown = changed(FULL, (*place, "NoSuchThing"), 1)
            yield f"{path} unknown", unknown, path_text((*place, "NoSuchThing")), ["no such field"]
            field = next(iter(kind["members"]))
            typo = changed(FULL, (*place, field + "z"), 1)
            yield f"{path} typo", typo, path_text((*place, field + "z")), ["did you mean", field]
        if not place:
            continue
        yield from limits(place, kind, path)


def limits(place: Tuple[Any, ...], kind: Dict[str, Any], path: str) -> Iterator[Tuple[str, Any, str, List[str]]]:
    """The violations of least, greatest, pattern and enumeration."""
    least, most, value = kind.get("min"), kind.get("max"), at(FULL, place)
    if kind["type"] == "string":
        if most is not None:
            long = (value * (most + 1))[: most + 1]
            yield f"{path} long", changed(FULL, place, long), path, [f"{most:,}", f"{most + 1:,}", repr(long[:20])[1:-1]]
        if least:
            short = value[: least - 1]
            yield f"{path} short", changed(FULL, place, short), path, [f"{least:,}", f"not {least - 1:,}"]
        if "pattern" in kind and kind["pattern"] != r"[\S\s]*":
            broken = value[:-1] + "\n" if len(value) > 1 else "\n"
            yield f"{path} pattern", changed(FULL, place, broken), path, [kind["pattern"], "\\n"]
        if "enum" in kind:
            yield f"{path} enum", changed(FULL, place, kind["enum"][0] + "Q"), path, ["did you mean", kind["enum"][0], "Q'"]
    elif kind["type"] in ("integer", "long"):
        bits = 32 if kind["type"] == "integer" else 64
        top = most if most is not None else 2 ** (bits - 1) - 1
        limit = f"{most:,}" if most is not None else f"{bits} bits"
        yield f"{path} great", changed(FULL, place, top + 1), path, [limit, str(top + 1)]
        if least is not None:
            yield f"{path} small", changed(FULL, place, least - 1), path, [f"{least:,}", str(least - 1)]
    elif kind["type"] == "list":
        if most is not None:
            yield f"{path} many", changed(FULL, place, value[:1] * (most + 1)), path, [f"{most:,}", f"not {most + 1:,}"]
        if least:
            yield f"{path} few", changed(FULL, place, []), path, [f"{least:,} to", "not 0"]
    elif kind["type"] == "map":
        entry = next(iter(value.values()))
        key = shape(kind["key"]["shape"])
        if most is not None:
            many = {f"k{number}": entry for number in range(most + 1)}
            yield f"{path} many", changed(FULL, place, many), path, [f"{most:,}", f"not {most + 1:,}"]
        long = "k" * (key["max"] + 1)
        yield (
            f"{path} key long",
            changed(FULL, place, {long: entry}),
            path,
            ["its name", f"{key['max']:,}", f"{key['max'] + 1:,}"],
        )
        if key.get("min"):
            yield f"{path} key short", changed(FULL, place, {"": entry}), path, ["its name", f"{key['min']:,} to"]
        yield f"{path} key pattern", changed(FULL, place, {"a\n": entry}), path, ["its name", key["pattern"], "a\\n"]


VIOLATIONS = list(violations())


def test_a_request_with_every_field_is_accepted() -> None:
    assert problems(FULL) == []


@pytest.mark.parametrize(("request_", "path", "words"), [case[1:] for case in VIOLATIONS], ids=[case[0] for case in VIOLATIONS])
def test_each_constraint_is_refused_with_field_limit_and_value(request_: Any, path: str, words: List[str]) -> None:
    lines = problems(request_)
    assert lines and not [line for line in lines if not line.startswith(path)]
    assert not [word for word in words if word not in " | ".join(lines)]
    with pytest.raises(ConfigError) as caught:
        check_service_request(request_)
    assert lines[0].split(":")[0] in str(caught.value)


def test_every_kind_of_constraint_was_generated() -> None:
    reached = {name for _, name in ALL}
    counted = {
        "max": sum("max" in shape(name) for name in reached),
        "pattern": sum("pattern" in shape(name) for name in reached),
        "enum": sum("enum" in shape(name) for name in reached),
    }
    made = [case[0] for case in VIOLATIONS]
    assert len(ALL) > 130 and counted["max"] > 60 and counted["pattern"] > 30 and counted["enum"] >= 15
    assert sum(name.endswith(" pattern") for name in made) >= counted["pattern"] - 3
    assert sum(name.endswith((" long", " great", " many")) for name in made) >= counted["max"]


def test_every_pattern_that_a_request_reaches_can_be_compiled() -> None:
    seen = set()

    def walk(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        kind = shape(name)
        if "pattern" in kind:
            compiled(kind["pattern"])
        inner = [member["shape"] for member in (kind.get("members") or {}).values()]
        for name in (*inner, *(kind[part]["shape"] for part in ("member", "key", "value") if part in kind)):
            walk(name)

    walk(input_shape())
    assert len(seen) > 130


def test_every_pattern_of_the_whole_service_can_be_compiled() -> None:
    patterns = {kind["pattern"] for kind in service_model()["shapes"].values() if "pattern" in kind}
    assert len(patterns) > 100
    assert [pattern for pattern in patterns if matches(pattern, "a") is None] == []


@pytest.mark.parametrize(
    ("pattern", "accepted", "refused"),
    [
        (".*", ["", "a b", "é😀"], ["a\nb", "\r", "a\u2028", "\u0085"]),
        (r"[\S\s]*", ["a\nb", ""], []),
        (r"\d+K", ["32K"], ["٣K", "K", "32k"]),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", ["Größe 1", "数", "a:b/c", ""], ["a\tb", "a!", "a\n", "😀"]),
        (r"arn:[\p{Alnum}\-]+:x", ["arn:aws-cn:x"], ["arn:é:x", "arn::x"]),
        (r"[-0-9a-zA-Z]+", ["sg-1"], ["sg_1", "", "sg-1\n"]),
        (r"([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)", ["a-b"], ["a-", "-a"]),
        (r"\w+(?:-\w+)+", ["eu-west-1"], ["eu", "é-b"]),
        (r"[\w]+\.[\s]", ["a. "], ["a.\u00a0", "ab "]),
        (r"\P{Alnum}+", ["--"], ["a"]),
        (r"[\t\uD800\uDC00-\uDBFF\uDFFF]+", ["\t😀"], ["a", "é"]),
        (r"[[a]+", ["[a"], ["b"]),
        (r"a\.b\\", ["a.b\\"], ["axb\\"]),
    ],
)
def test_patterns_mean_what_they_mean_to_the_service(pattern: str, accepted: List[str], refused: List[str]) -> None:
    assert [text for text in accepted if not matches(pattern, text)] == []
    assert [text for text in refused if matches(pattern, text)] == []


def test_a_pattern_that_cannot_be_compiled_forbids_nothing() -> None:
    assert matches(r"(", "x") is None
    assert translate(r"\p{L}")[1] and not translate(r"\p{Alnum}")[1]


@pytest.mark.parametrize("name", VALID)
def test_requests_that_the_service_takes_are_accepted(name: str) -> None:
    check_service_request(VALID[name], region="eu-west-1")
    if name not in ("serverless", "preferences"):
        check_request(VALID[name])


def test_the_accepted_requests_together_fill_every_field() -> None:
    def names(place: Tuple[Any, ...]) -> Tuple[str, ...]:
        return tuple(part for part in place if isinstance(part, str))

    used = {names(place) for request in VALID.values() for place in places(request)}
    known = {names(place) for place, _ in ALL if place}
    left = {
        place for place in known - used if place[:-1] not in {("HyperParameters",), ("Environment",)} and place[-1:] != ("a",)
    }
    assert left == {("ResourceConfig", "SelectedInstanceType"), ("ResourceConfig", "SelectedInstanceCount")}


@pytest.mark.parametrize("count", [63, 64])
def test_length_is_counted_in_characters_not_in_bytes(count: int) -> None:
    tags = [{"Key": "k", "Value": "ü" * (count + 193)}]
    assert bool(problems({**MINIMAL, "Tags": tags})) == (count == 64)
    assert problems({**MINIMAL, "HyperParameters": {"k": "😀" * 2500}}) == []
    (line,) = problems({**MINIMAL, "HyperParameters": {"k": "😀" * 2501}})
    assert "2,500" in line and "2,501" in line


def test_secrets_are_not_told() -> None:
    request = {
        **MINIMAL,
        "Environment": {"API_TOKEN": "hunter2" * 100, "DB_PASSWORD": 55555},
        "HyperParameters": {"secret_key": "hunter2\n", "url": "https://user:hunter2@host/\n"},
        "AlgorithmSpecification": {
            **MINIMAL["AlgorithmSpecification"],
            "ContainerArguments": ["--password", "hunter2\n", "--token=hunter2\n"],
        },
        "Tags": [{"Key": "token", "Value": "hunter2\n"}],
    }
    lines = problems(request)
    assert len(lines) == 7
    assert not [line for line in lines if "hunter2" in line or "55555" in line]
    assert sum("<masked>" in line for line in lines) == 7


def test_a_field_of_a_description_is_told_as_such() -> None:
    (line,) = problems({**MINIMAL, "SecondaryStatus": "Starting"})
    assert "DescribeTrainingJob" in line


def test_half_a_surrogate_pair_is_refused() -> None:
    (line,) = problems({**MINIMAL, "HyperParameters": {"k": "\ud83d"}})
    assert line.startswith("HyperParameters.k: must be Unicode")


def test_many_problems_are_counted_and_the_first_told() -> None:
    with pytest.raises(ConfigError) as caught:
        check_service_request({**MINIMAL, "HyperParameters": {f"k{number}": 1 for number in range(400)}})
    assert "401 problems" in str(caught.value) and "and 351 more" in str(caught.value)


@pytest.mark.parametrize("request_", [None, [], "x", 5, {}])
def test_what_is_no_request_is_refused(request_: Any) -> None:
    for check in (check_request, check_service_request):
        with pytest.raises(ConfigError):
            check(request_)


def test_the_hand_table_of_fields_is_that_of_the_service() -> None:
    names = {"string": STRING, "integer": INTEGER, "long": INTEGER, "boolean": BOOLEAN}

    def kinds(name: str) -> Any:
        kind = shape(name)
        if kind["type"] == "structure":
            return {field: kinds(member["shape"]) for field, member in kind["members"].items()}
        if kind["type"] == "list":
            return [kinds(kind["member"]["shape"])]
        return {"*": kinds(kind["value"]["shape"])} if kind["type"] == "map" else names[kind["type"]]

    assert kinds(input_shape()) == FIELDS


@pytest.mark.parametrize("entry", LIMITS)
def test_the_hand_table_of_limits_is_that_of_the_service(entry: str) -> None:
    kind = shape(input_shape())
    for part in entry.replace("{key}", ".{key}").replace("{}", ".{}").replace("[]", ".[]").split("."):
        step = {"[]": kind.get("member"), "{}": kind.get("value"), "{key}": kind.get("key")}.get(part)
        kind = shape((step or kind["members"][part])["shape"])
    assert LIMITS[entry] == (kind.get("min"), kind.get("max"))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("x" * 5000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def replaced(name: str) -> st.SearchStrategy[Tuple[Any, List[Tuple[Any, Any]]]]:
    """A request, and other values for some of its places."""
    change = st.tuples(st.sampled_from(list(places(VALID[name]))), ANYTHING)
    return st.tuples(st.just(VALID[name]), st.lists(change, min_size=1, max_size=3))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(VALID)).flatmap(replaced))
def test_nothing_in_a_request_makes_a_check_fail_otherwise(case: Tuple[Any, List[Tuple[Any, Any]]]) -> None:
    request, changes = case
    for place, value in changes:
        try:
            request = changed(request, place, value)
        except (TypeError, KeyError, IndexError, AttributeError):
            continue  # an earlier change has taken this place away
    for check in (check_request, check_service_request):
        try:
            check(request)
        except ConfigError as error:
            assert ":" in str(error)


@settings(max_examples=100, deadline=None)
@given(ANYTHING)
def test_no_json_makes_a_check_fail_otherwise(request: Any) -> None:
    for check in (check_request, check_service_request):
        with pytest.raises(ConfigError):
            check(request)


def test_the_image_is_of_the_region_of_the_job() -> None:
    check_service_request(MINIMAL)
    with pytest.raises(ConfigError, match=r"TrainingImage.*us-east-1.*eu-west-1"):
        check_service_request(MINIMAL, region="us-east-1")
    assert IMAGE in str(SPOT)


def test_what_botocore_refuses_is_refused_here() -> None:
    from botocore.model import ServiceModel
    from botocore.validate import ParamValidator

    model = ServiceModel(service_model(), "sagemaker").operation_model("CreateTrainingJob").input_shape
    validator = ParamValidator()
    for request in (FULL, *VALID.values()):
        assert not validator.validate(request, model).has_errors()
    refused = [case for case in VIOLATIONS if validator.validate(case[1], model).has_errors()]
    # botocore looks at types, required and unknown fields, and at the least of a limit.
    assert len(refused) > 800
    assert [name for name, request, _, _ in refused if not problems(request)] == []
