"""What to do about the engines' words."""

from __future__ import annotations

import pytest

from hvdsm.images.reasons import remedy_of


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("Cannot connect to the Docker daemon at tcp://10.0.0.9:2375. Is the docker daemon running?", "check DOCKER_HOST"),
        ("request returned 404 Not Found for API route and version http://h/v1.50/version", "docker context ls"),
        ("denied: Your authorization token has expired. Reauthenticate and try again.", "leave out --no-login"),
        (
            "tag invalid: The image tag 'v1' already exists and cannot be overwritten because the repository is immutable.",
            "--tag",
        ),
        ("denied: User: u is not authorized to perform: ecr:InitiateLayerUpload", "allow ecr:InitiateLayerUpload in"),
        (
            "denied: u is not authorized to perform: ecr:PutImage on resource: arn:aws:ecr:us-east-1:1:repository/a/b because no",
            "allow ecr:PutImage on arn:aws:ecr:us-east-1:1:repository/a/b in",
        ),
        ("received unexpected HTTP status: 403 Forbidden", "ecr:PutImage"),
        ("Error: reading manifest 1: unauthorized: authentication required", "ecr:BatchGetImage"),
        ("name unknown: The repository with name 'a/b' does not exist in the registry with id '1'", "ecr:DescribeRepositories"),
        ("toomanyrequests: Rate exceeded", "wait a minute"),
        ("ERROR: failed to solve: 763104351884.dkr.ecr.us-west-2.amazonaws.com/mxnet:1: not found", "tag of the base image"),
        ("dial tcp: lookup 1.dkr.ecr.us-east-1.amazonaws.com on 10.0.0.2:53: no such host", "check the network"),
        (
            "Error: initializing source docker://localhost/base:1: pinging container registry localhost: dial tcp 127.0.0.1:443",
            "this user, has no such image",
        ),
        (
            "potentially insufficient UIDs or GIDs available in user namespace (requested 0:42 for /etc/gshadow)",
            "usermod --add-subuids",
        ),
        ("Killed", "memory"),
        ('Error: building at STEP "RUN make": while running runtime: exit status 137', "memory"),
        # What a step of the user's own says is none of the registry's business.
        ("E: Could not open lock file /var/lib/dpkg/lock - open (13: Permission denied: no root)", "otherwise"),
        ("RuntimeError: the unauthorized flag is set", "otherwise"),
        ("write tcp 10.0.0.2:5000->10.0.0.3:443: use of closed network connection", "otherwise"),
    ],
)
def test_remedies(line: str, remedy: str) -> None:
    assert remedy in remedy_of(["#7 beside it", line, ""], "otherwise")
