"""Region, profile and clients."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from aws_support import environ, fake_aws, moto_aws, moto_server

from hvdsm.aws.session import Aws, Identity, connect, console, identity
from hvdsm.errors import ConfigError


def test_region_argument_before_environment_before_profile(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nregion = eu-west-1\n[profile work]\nregion = eu-west-2\n")
    nothing = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    both = {**nothing, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-2"}
    assert connect("us-west-2", environ=both).region == "us-west-2"
    assert connect(environ=both).region == "us-east-1"
    assert connect(environ={**nothing, "AWS_DEFAULT_REGION": "us-east-2"}).region == "us-east-2"


def test_region_of_the_profile(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nregion = eu-west-1\n[profile work]\nregion = eu-west-2\n")
    program = "from hvdsm.aws.session import connect\nprint(connect().region, connect(profile='work').region)"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**clean, "AWS_CONFIG_FILE": str(config)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["eu-west-1", "eu-west-2"]


@pytest.mark.parametrize("name", ["us-east", "US-EAST-1", "useast1", "us-east-1 "])
def test_what_is_no_region(name: str) -> None:
    with pytest.raises(ConfigError, match="is no name of an AWS region") as caught:
        connect(name, environ={})
    assert caught.value.where == "--region"


def test_a_client_is_made_once_for_all_threads() -> None:
    with fake_aws() as fake:
        aws = fake.aws()
        made = []
        threads = [threading.Thread(target=lambda: made.append(aws.client("sts"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(client) for client in made}) == 1
        assert aws.client("sts", attempts=2) is not made[0]


def test_how_clients_are_configured() -> None:
    with fake_aws() as fake:
        config = fake.aws(AWS_MAX_ATTEMPTS="").client("sts").meta.config
    assert config.retries == {"mode": "standard", "total_max_attempts": 4}
    assert config.tcp_keepalive
    assert config.connect_timeout == 10
    assert "hvdsm/" in config.user_agent_extra


def test_keys_of_this_process_do_not_stand_in_for_missing_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of this process")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of this process")
    variables = environ("http://127.0.0.1:9")
    del variables["AWS_ACCESS_KEY_ID"]
    provider = connect(environ=variables)._session().get_component("credential_provider")
    assert "env" not in [each.METHOD for each in provider.providers]


def test_the_endpoint_of_one_service() -> None:
    variables = environ(
        "http://127.0.0.1:9", AWS_ENDPOINT_URL_S3="http://localhost:10", AWS_ENDPOINT_URL_CLOUDWATCH_LOGS="http://h:11"
    )
    aws = connect(environ=variables)
    assert aws.endpoint == "http://127.0.0.1:9"
    assert aws.client("s3").meta.endpoint_url == "http://localhost:10"
    # Below localhost names need not resolve.
    assert aws.client("s3").meta.config.s3 == {"addressing_style": "path"}
    assert aws.client("logs").meta.endpoint_url == "http://h:11"
    assert aws.client("sts").meta.endpoint_url == "http://127.0.0.1:9"
    ignoring = connect(environ={**variables, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"})
    assert ignoring.endpoint is None
    assert "amazonaws.com" in ignoring.client("sts").meta.endpoint_url


def test_another_region_for_one_client() -> None:
    with fake_aws() as fake:
        assert fake.aws().client("sts", region="us-east-1").meta.region_name == "us-east-1"


def test_identity() -> None:
    with moto_server() as url:
        found = identity(moto_aws(url))
    assert found == Identity("123456789012", "arn:aws:sts::123456789012:user/moto")


def test_a_session_shows_no_secret() -> None:
    with fake_aws() as fake:
        assert repr(fake.aws()) == "Aws(region='eu-central-1', profile=None)"


def test_nothing_of_botocore_is_imported_before_it_is_needed() -> None:
    program = """
import sys
import hvdsm.aws.failures, hvdsm.aws.logs, hvdsm.aws.prices, hvdsm.aws.session, hvdsm.aws.stacks, hvdsm.aws.storage
import hvdsm.aws.training, hvdsm.cli.data
hvdsm.aws.session.connect("us-east-1")
print([name for name in ("boto3", "botocore", "s3transfer", "urllib3") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ("eu-central-1", "https://eu-central-1.console.aws.amazon.com"),
        ("cn-north-1", "https://console.amazonaws.cn"),
        ("us-gov-west-1", "https://console.amazonaws-us-gov.com"),
    ],
)
def test_console(region: str, address: str) -> None:
    assert console(region) == address


def test_sessions_of_a_region_are_equal() -> None:
    assert Aws("us-east-1", environ={}) == Aws("us-east-1", environ={"A": "b"})


def test_an_address_that_is_none() -> None:
    with pytest.raises(ConfigError, match="Invalid endpoint: localhost:9") as caught:
        connect(environ=environ("localhost:9")).client("sts")
    assert "AWS_ENDPOINT_URL" in str(caught.value)


def test_models_are_read_once_for_all_sessions() -> None:
    with fake_aws() as fake:
        loaders = {id(fake.aws()._session().get_component("data_loader")) for _ in range(2)}
    assert len(loaders) == 1
