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


@pytest.mark.parametrize("value", ["--password sesame -x", "-x --api-key 'sesame two'", "a=1 --token=sesame"])
def test_options_in_a_variable(value: str) -> None:
    masked = mask_mapping({"OPTS": value, "ARGS": "--epochs 3  --pad-token x", "DB": "postgres://u:sesame@h/x --epochs 3"})
    assert "sesame" not in str(masked) and MASK in masked["OPTS"]
    assert (masked["ARGS"], masked["DB"]) == ("--epochs 3  --pad-token x", f"postgres://{MASK}@h/x --epochs 3")


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


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://u:p@ss@h/p", f"https://{MASK}@h/p"),
        (
            "redis://:p@h:1 s3://b/k@2 https://h/?mail=a@b https://h/#a@b",
            f"redis://{MASK}@h:1 s3://b/k@2 https://h/?mail=a@b https://h/#a@b",
        ),
        ("https://b/k?X-Amz-Date=1&X-Amz-Signature=ab&x=1", f"https://b/k?X-Amz-Date=1&X-Amz-Signature={MASK}&x=1"),
        (
            "'https://b/k?AWSAccessKeyId=AK&Expires=1&Signature=a%2Bb'",
            f"'https://b/k?AWSAccessKeyId={MASK}&Expires=1&Signature={MASK}'",
        ),
        ("https://b/k?sv=1&sig=abc", f"https://b/k?sv=1&sig={MASK}"),
        ("signature=2 sig=3", "signature=2 sig=3"),
    ],
)
def test_addresses(text: str, masked: str) -> None:
    assert mask_text(text) == masked


def test_presigned_credentials_and_tokens() -> None:
    masked = mask_text("https://b/k?X-Amz-Credential=AKID%2F2&X-Amz-Security-Token=tok&X-Amz-Signature=sig1")
    assert not any(part in masked for part in ("AKID", "tok", "sig1"))


def test_the_rest_of_a_request() -> None:
    request = {
        "Tags": [{"Key": "api-key", "Value": "sesame-1"}, {"Key": "team", "Value": "https://u:sesame-2@h"}],
        "DebugRuleConfigurations": [{"RuleParameters": {"db_password": "sesame-3", "k": "v"}}],
        "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "AlgorithmSpecification": {
            "TrainingImage": "i", "ContainerArguments": ["--token", "sesame-4"], "MetricDefinitions": [{"Name": "n", "Regex": "://(.*)@"}]
        },
        "OutputDataConfig": {"KmsKeyId": "arn:aws:kms:r:1:key/2"},
        "HyperParameters": {"sagemaker_hvdsm_secrets": '{"HF_TOKEN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a"}'},
    }  # fmt: skip
    before = json.dumps(request)
    masked = mask_request(request)
    assert json.dumps(request) == before
    assert "sesame" not in json.dumps(masked)
    for name in ("VpcConfig", "OutputDataConfig", "HyperParameters"):
        assert masked[name] == request[name]
    assert masked["AlgorithmSpecification"]["MetricDefinitions"] == [{"Name": "n", "Regex": "://(.*)@"}]
    assert masked["Tags"][1] == {"Key": "team", "Value": f"https://{MASK}@h"}
    fields = ["AlgorithmSpecification.ContainerArguments[1]", "DebugRuleConfigurations[0].RuleParameters.db_password"]
    assert masked_fields(masked) == [*fields, "Tags[0].Value", "Tags[1].Value"]
    assert masked_fields(request) == []


def test_quoted_options() -> None:
    assert mask_text("--password=a -Dpassword=b --pad_token=c") == f"--password={MASK} -Dpassword={MASK} --pad_token=c"
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
