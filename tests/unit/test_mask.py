"""Secrets do not show in what is printed or written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.compose.arguments import pack_arguments, unpack_arguments
from hvdsm.compose.mask import MASK, looks_secret, mask_arguments, mask_mapping, mask_request, mask_text, masked_fields
from hvdsm.compose.request import LaunchOptions, build_request

SECRET_NAMES = [
    "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "HF_TOKEN", "WANDB_API_KEY", "GITHUB_TOKEN", "DB_PASSWORD",
    "password", "api-key", "apikey", "MYSQL_PWD", "db_pass", "client_secret", "SECRET_KEY", "auth_token", "PRIVATE_KEY", "token",
]  # fmt: skip
OTHER_NAMES = [
    "PATH", "tokenizer", "max_tokens", "num_tokens", "pad_token", "eos_token", "PWD", "passes", "compass", "key", "monkey",
    "keys", "author", "n_heads", "bypass", "AWS_REGION", "secretary", "AWS_SHARED_CREDENTIALS_FILE", "token_dim",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_of_secrets(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_names_of_other_things(name: str) -> None:
    assert not looks_secret(name)


def test_environment() -> None:
    assert mask_mapping({"HF_TOKEN": "hf_x", "A": "b", "EMPTY_TOKEN": ""}) == {"HF_TOKEN": MASK, "A": "b", "EMPTY_TOKEN": ""}
    assert mask_mapping({"PIP_INDEX_URL": "https://aws:tok@host/simple"}) == {"PIP_INDEX_URL": f"https://{MASK}@host/simple"}


def test_command_lines() -> None:
    words = ["--api-key", "k1", "--token=k2", "--lr", "0.1", "-x", "HF_TOKEN=k3", "https://u:k4@h/p", "--password"]
    masked = mask_arguments(words)
    assert masked == [
        "--api-key",
        MASK,
        f"--token={MASK}",
        "--lr",
        "0.1",
        "-x",
        f"HF_TOKEN={MASK}",
        f"https://{MASK}@h/p",
        "--password",
    ]


def test_quoted_options() -> None:
    assert mask_text("-x A=1 -x HF_TOKEN='a b' --mca x y") == f"-x A=1 -x HF_TOKEN={MASK} --mca x y"
    assert mask_text('-x WANDB_API_KEY="a \\" b" -x B=2') == f"-x WANDB_API_KEY={MASK} -x B=2"


def test_request_is_masked_everywhere() -> None:
    request = build_request(
        LaunchOptions(
            program="t.py",
            source="file:///t.py",
            job_name="j",
            arguments=("--token", "sesame-1"),
            custom_mpi_options="-x HF_TOKEN=sesame-2 -x A=1",
            hyperparameters={"api_key": "sesame-3", "lr": 0.1},
            environment={"DB_PASSWORD": "sesame-4", "URL": "https://u:sesame-5@h/"},
        )
    )
    before = json.dumps(request)
    masked = mask_request(request)
    assert json.dumps(request) == before
    assert "sesame" not in json.dumps(masked)
    assert unpack_arguments(masked["HyperParameters"]) == ("--token", MASK)
    assert json.loads(masked["HyperParameters"]["sagemaker_mpi_custom_mpi_options"]) == f"-x HF_TOKEN={MASK} -x A=1"
    assert masked["HyperParameters"]["lr"] == "0.1"
    assert "Environment.DB_PASSWORD" in masked_fields(masked)
    assert masked_fields(request) == []


@given(st.lists(st.text(st.characters(exclude_characters="=:@-"))))
def test_harmless_arguments_stay(words: list) -> None:
    assert mask_arguments(words) == words
    assert unpack_arguments(mask_request({"HyperParameters": pack_arguments(words)})["HyperParameters"]) == tuple(words)
