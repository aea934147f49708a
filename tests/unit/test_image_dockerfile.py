"""What is read in a Dockerfile, and what an engine's lists and words mean."""

from __future__ import annotations

import json

import pytest

from hvdsm.errors import ConfigError
from hvdsm.images.dockerfile import prefixed_ignore, read_dockerfile, substituted
from hvdsm.images.listing import LocalImage, bytes_of, chosen, read_list
from hvdsm.images.names import parse_name
from hvdsm.images.reasons import remedy_of

TEXT = r"""# syntax=docker/dockerfile:1
ARG REGION=us-east-1 ACCOUNT="763104351884"
ARG CPU=debian:bookworm-slim
ARG GPU=${ACCOUNT}.dkr.ecr.${REGION}.amazonaws.com/pytorch-training:2.3.0
ARG DEVICE=gpu
FROM --platform=linux/amd64 $CPU AS base-cpu
FROM ${GPU} as base-gpu
ENV TEXT="ARG NOT=one"
FROM base-${DEVICE} AS build
ARG TOOL
RUN echo \
    # a comment within
    FROM nothing && \
    true
RUN echo $((1<<2)) && cat <<<text
RUN cat <<-"EOF" > file
FROM here-document
ARG IN_IT=1
EOF
from scratch
copy --chown=0 --from=build /a /a
COPY --from=tools:1 /b /b
RUN --mount=type=bind,from=mounted:2,target=/m true
COPY --from=0 /c /c
"""


def test_arguments_and_bases() -> None:
    read = read_dockerfile(TEXT)
    assert read.arguments == {"REGION", "ACCOUNT", "CPU", "GPU", "DEVICE", "TOOL"}
    gpu = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0"
    assert set(read.bases({})) == {gpu, "tools:1", "mounted:2", "debian:bookworm-slim"}
    assert set(read.bases({}, "build")) == {gpu}
    # What is not needed is not pulled, so that a build for cpu wants no login.
    assert set(read.bases({"DEVICE": "cpu"}, "build")) == {"debian:bookworm-slim"}
    assert set(read.bases({"REGION": "eu-west-1"}, "BUILD")) == {gpu.replace("us-east-1", "eu-west-1")}


def test_a_stage_may_be_called_as_its_image() -> None:
    assert read_dockerfile("FROM python AS python\nFROM python\n").bases({}) == ("python",)
    assert read_dockerfile("FROM scratch\n").bases({}) == ()
    assert read_dockerfile("").bases({}) == ()


def test_default_of_one_argument_in_another_follows_what_is_given() -> None:
    read = read_dockerfile(
        "ARG BASE=a:1\nARG BUILD_BASE=${BASE}\nFROM ${BUILD_BASE} AS build\nFROM ${BASE}\nCOPY --from=build / /\n"
    )
    assert read.bases({"BASE": "b:2"}) == ("b:2",)
    assert set(read.bases({"BUILD_BASE": "c:3"})) == {"a:1", "c:3"}


def test_the_escape_directive() -> None:
    assert read_dockerfile("# escape=`\nARG A=1\nRUN dir `\n  FROM x\nFROM c:\\d\n").stages[0].base == "c:\\d"


def test_substitution() -> None:
    values = {"A": "a", "E": ""}
    assert substituted(r"$A-${A}-${B:-x$A}-${A:+y}-${E:-z}-${E:+n}-\$A-$B.", values) == "a-a-xa-y-z--$A-."


def test_ignored_files_keep_their_meaning_below_a_folder() -> None:
    assert prefixed_ignore("\n# x\n*.ckpt\n! keep.ckpt\n/data/\n", "source") == "source/*.ckpt\n!source/keep.ckpt\nsource/data/\n"


PODMAN = [
    {
        "Id": "f2f1771eceeecb54",
        "Size": 216894537,
        "Names": ["localhost/a:1", "localhost/b:1"],
        "CreatedAt": "2026-11-21T17:34:53Z",
    },
    {
        "Id": "f2f1771eceeecb54",
        "Size": 216894537,
        "Names": ["localhost/a:1", "localhost/b:1"],
        "CreatedAt": "2026-11-21T17:34:53Z",
    },
    {"Id": "e0", "Size": 1, "CreatedAt": ""},
]
BUILDAH = [{"id": "f2f1771eceee", "names": ["localhost/a:1"], "size": "217 MB", "createdatraw": "2026-11-21T17:34:53Z"}]
DOCKER = {"Repository": "a", "Tag": "1", "ID": "sha256:f2f1771eceeecb54", "Size": "1.23kB", "CreatedAt": "2026-11-21 17:34:53"}


def test_lists_of_the_engines() -> None:
    a = LocalImage("localhost/a:1", "f2f1771eceee", 216894537, "2026-11-21T17:34:53Z")
    assert [image.name for image in read_list("podman", json.dumps(PODMAN))] == ["localhost/a:1", "localhost/b:1"]
    assert read_list("podman", json.dumps(PODMAN))[0] == a
    assert read_list("buildah", json.dumps(BUILDAH)) == [LocalImage("localhost/a:1", "f2f1771eceee", 217000000, a.created)]
    line = json.dumps(DOCKER)
    assert read_list("docker", f"{line}\n\n{line.replace('a', 'b', 1)[:0]}") == [
        LocalImage("a:1", "f2f1771eceee", 1230, "2026-11-21 17:34:53")
    ]
    assert read_list("buildah", "null") == read_list("docker", "") == read_list("podman", "[]") == []
    for engine, text in (("docker", "WARNING"), ("podman", "{"), ("buildah", '"x"')):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_list(engine, text)


def test_images_are_chosen_by_what_is_named() -> None:
    images = [LocalImage(name, "1") for name in ("localhost/a:1", "a:2", "team/a:1", "host.x/a:1", "?")]

    def names(text: str) -> list:
        return [image.name for image in chosen(images, parse_name(text))]

    assert names("a") == ["localhost/a:1", "a:2", "host.x/a:1"]
    assert names("a:1") == ["localhost/a:1", "host.x/a:1"] and names("host.x/a") == ["host.x/a:1"] and names("b") == []
    assert chosen(images, None) == images


def test_sizes() -> None:
    assert [bytes_of(size) for size in (7, "7B", "1.5 kB", "2GB", None, "big")] == [7, 7, 1500, 2000000000, None, None]


def test_remedies() -> None:
    assert "systemctl start docker" in remedy_of(["x", "Cannot connect to the Docker daemon at unix:///"], "-")
    assert "ecr:BatchGetImage" in remedy_of(["pull access denied for x"], "-")
    assert remedy_of(["something else"], "look") == "look"
