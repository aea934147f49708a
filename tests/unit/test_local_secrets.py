"""Secrets that a rehearsal fetches on the client's side, over HTTP from a server that stands for AWS."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Iterator

import botocore.session
import pytest
from moto.server import ThreadedMotoServer

from hvdsm.backends.local.secret_values import secret_values
from hvdsm.compose.cloud import SECRETS
from hvdsm.errors import ConfigError, HvdsmError

REGION = "us-west-2"


@pytest.fixture(scope="module")
def environ() -> Iterator[Dict[str, str]]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "example",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    server.stop()


def client(environ: Dict[str, str], service: str) -> Any:
    return botocore.session.get_session().create_client(
        service,
        region_name=REGION,
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        aws_access_key_id="example",
        aws_secret_access_key="example",
    )


def asked(**arns: str) -> Dict[str, Any]:
    return {"HyperParameters": {SECRETS: json.dumps(arns)}}


def test_values_of_both_services_and_of_one_key(environ: Dict[str, str]) -> None:
    manager, parameters = client(environ, "secretsmanager"), client(environ, "ssm")
    plain = manager.create_secret(Name="plain", SecretString="s3cret")["ARN"]
    several = manager.create_secret(Name="several", SecretString=json.dumps({"user": "a", "pass": "p", "port": 5}))["ARN"]
    parameters.put_parameter(Name="/team/token", Value="t0ken", Type="SecureString")
    parameter = parameters.get_parameter(Name="/team/token")["Parameter"]["ARN"]
    request = asked(PLAIN=plain, PASSWORD=f"{several}#pass", PORT=f"{several}#port", TOKEN=parameter)
    assert secret_values(request, environ) == {"PLAIN": "s3cret", "PASSWORD": "p", "PORT": "5", "TOKEN": "t0ken"}


def test_what_is_wrong_is_said_without_the_value(environ: Dict[str, str]) -> None:
    manager = client(environ, "secretsmanager")
    text = manager.create_secret(Name="text", SecretString="s3cret")["ARN"]
    binary = manager.create_secret(Name="binary", SecretBinary=b"\0\1")["ARN"]
    for arn, said in ((f"{text}#key", "no JSON object"), (binary, "binary")):
        with pytest.raises(ConfigError, match=said) as caught:
            secret_values(asked(NAME=arn), environ)
        assert "NAME" in str(caught.value) and "s3cret" not in str(caught.value)


def test_a_secret_that_is_not_there(environ: Dict[str, str]) -> None:
    arn = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:none-AbCdEf"
    with pytest.raises(HvdsmError, match="NAME"):
        secret_values(asked(NAME=arn), environ)


def test_without_secrets_nothing_is_asked() -> None:
    assert secret_values({}, {}) == {} and secret_values({"HyperParameters": {"a": "1"}}, {}) == {}
