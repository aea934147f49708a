"""What images are called, in the engines and in ECR."""

from __future__ import annotations

from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.aws.registry_names import check_repository, registry, registry_of
from hvdsm.errors import UsageError
from hvdsm.images.names import ImageName, image_name, in_registry, parse_name

OWN = "888888888888.dkr.ecr.us-east-1.amazonaws.com"
DIGEST = "sha256:" + 64 * "0"


@pytest.mark.parametrize(
    ("name", "tag", "device", "expected"),
    [
        (None, None, "gpu", "graphstorm:sm-gpu"),
        (None, None, "cpu", "graphstorm:sm-cpu"),
        # The document's rule: a tag that is given is used as it is, no device is added to it.
        (None, "sm-gpu", "gpu", "graphstorm:sm-gpu"),
        (None, "v1", "cpu", "graphstorm:v1"),
        ("training", None, "cpu", "training:sm-cpu"),
        ("training:1", None, "cpu", "training:1"),
        ("training:1", "1", "cpu", "training:1"),
        (f"{OWN}/graphstorm", None, "gpu", f"{OWN}/graphstorm:sm-gpu"),
        ("localhost:5000/a/b_c.d-e", "Tag_1.x-y", "gpu", "localhost:5000/a/b_c.d-e:Tag_1.x-y"),
        (f"training@{DIGEST}", None, "gpu", f"training@{DIGEST}"),
    ],
)
def test_tags(name: Optional[str], tag: Optional[str], device: str, expected: str) -> None:
    assert str(image_name(name, tag, device)) == expected


def test_an_empty_name_is_none() -> None:
    """As of a variable that is not set: another image must not be meant by it."""
    with pytest.raises(UsageError, match=r"^NAME: '' is no name"):
        image_name("", None, "gpu", where="NAME")


def test_a_better_name_keeps_registry_and_tag() -> None:
    with pytest.raises(UsageError, match=f"name it like {OWN}/my/training:V1"):
        parse_name(f"{OWN}/My/Training:V1")


@pytest.mark.parametrize(
    ("account", "region"), [("12", "us-east-1"), ("1" * 12, ""), ("1" * 12, "nowhere"), ("\u0661" * 12, "us-east-1")]
)
def test_no_such_registry(account: str, region: str) -> None:
    with pytest.raises(UsageError, match=r"^--base-(account|region): "):
        registry(account, region, ("--base-account", "--base-region"))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ImageName("a")),
        ("a:b", ImageName("a", "b")),
        ("localhost/a:b", ImageName("a", "b", "localhost")),
        ("host:5000/a", ImageName("a", "", "host:5000")),
        ("team/a", ImageName("team/a")),
        (f"{OWN}/team/a:1@{DIGEST}", ImageName("team/a", "1", OWN, DIGEST)),
    ],
)
def test_parts(text: str, parts: ImageName) -> None:
    assert parse_name(text) == parts and str(parts) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "a:",
        "a:b c",
        "a b",
        "a/",
        "/a",
        "a//b",
        "-a",
        "a:-b",
        "a@sha256:1",
        "a@",
        "bad host.x/a",
        "a:" + 129 * "x",
        "a;b",
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageError):
        parse_name(text)


@given(st.text(max_size=30))
def test_any_text_is_a_name_that_comes_back_or_refused(text: str) -> None:
    try:
        assert str(parse_name(text)) == text
    except UsageError:
        pass


def test_a_better_name_is_told() -> None:
    with pytest.raises(UsageError, match="name it like my-training"):
        parse_name("My-Training")


def test_two_tags() -> None:
    with pytest.raises(UsageError, match="the tag 1, --tag says 2"):
        image_name("training:1", "2", "gpu")


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "888888888888.dkr.ecr.us-east-1.amazonaws.com"),
        ("cn-north-1", "888888888888.dkr.ecr.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "888888888888.dkr.ecr.us-gov-west-1.amazonaws.com"),
    ],
)
def test_registries(region: str, host: str) -> None:
    made = registry("888888888888", region)
    assert made.host == host and registry_of(host) == made


def test_other_hosts() -> None:
    fips = registry_of("888888888888.dkr.ecr-fips.us-east-1.amazonaws.com")
    assert fips is not None and fips.host.startswith("888888888888.dkr.ecr-fips.")
    dual = registry_of("888888888888.dkr-ecr.eu-west-1.on.aws")
    assert dual is not None and (dual.account, dual.region) == ("888888888888", "eu-west-1")
    for host in ("docker.io", "public.ecr.aws", "88.dkr.ecr.us-east-1.amazonaws.com", f"{OWN}.example.com", "localhost:5000"):
        assert registry_of(host) is None
    with pytest.raises(UsageError, match="12 digits"):
        registry("8888-8888", "us-east-1")


def test_the_repository_is_the_name_without_the_registry() -> None:
    place = registry("888888888888", "us-east-1")
    assert str(in_registry(parse_name("localhost/team/a:1"), place)) == f"{OWN}/team/a:1"
    assert str(in_registry(parse_name(f"{OWN}/ab:1"), place)) == f"{OWN}/ab:1"
    # Names that the engines allow and ECR does not.
    for name in ("a", "a__b", "a--b", 257 * "a"):
        with pytest.raises(UsageError, match="no name that a repository in ECR can have"):
            check_repository(name)
