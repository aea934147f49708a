"""What scripts on emulated hosts ask AWS themselves is answered by the sandbox; nothing else is reached."""

from __future__ import annotations

import json
import os
import resource
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterator, Tuple

import pytest
from sandbox_support import client, get, job_request, keys, log_lines, put, script_request

from hvdsm.backends.local.gateway import Relay, client_variables, listen
from hvdsm.backends.local.options import Gateway
from hvdsm.emulator import ClusterSpec, EmulatedCluster, probe
from hvdsm.errors import HvdsmError
from hvdsm.sandbox import Sandbox

ASKS = """
import json, os, socket, sys
from concurrent.futures import ThreadPoolExecutor
import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

host = os.environ["SM_CURRENT_HOST"]
s3 = boto3.client("s3", config=Config(max_pool_connections=100))
s3.put_object(Bucket="bucket", Key="from/" + host, Body=host.encode())
parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
with open("/tmp/large", "wb") as file:
    file.write(bytes(range(256)) * (11 << 12))
s3.upload_file("/tmp/large", "bucket", "large/" + host, Config=parts)
s3.download_file("bucket", "large/" + host, "/tmp/back", Config=parts)
with open("/tmp/large", "rb") as one, open("/tmp/back", "rb") as other:
    assert one.read() == other.read()
with ThreadPoolExecutor(100) as pool:
    bodies = list(pool.map(lambda _: s3.get_object(Bucket="bucket", Key="seed")["Body"].read(), range(100)))
assert set(bodies) == {b"seed"}
secret = boto3.client("secretsmanager").get_secret_value(SecretId="token")["SecretString"]

reached = []
for port in json.loads(sys.argv[sys.argv.index("--ports") + 1]):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        reached.append(port)
    except OSError:
        pass
try:
    socket.create_connection(("198.51.100.1", 80), 5)
    reached.append("the Internet")
except OSError:
    pass
told = {
    "reached": reached,
    "secret": secret,
    "caller": boto3.client("sts").get_caller_identity()["Account"],
    "regions": [os.environ["AWS_REGION"], os.environ["AWS_DEFAULT_REGION"], boto3.session.Session().region_name],
}
print("told " + json.dumps(told), flush=True)
"""
ISOLATED = """
import json, os, socket, sys
import boto3
from botocore.exceptions import BotoCoreError

try:
    boto3.client("s3").list_buckets()
    failed = None
except BotoCoreError as error:
    failed = type(error).__name__
port = json.loads(sys.argv[sys.argv.index("--ports") + 1])[0]
try:
    socket.create_connection(("127.0.0.1", port), 5)
    refused = False
except ConnectionRefusedError:
    refused = True
names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
print("told " + json.dumps([failed, refused, [name for name in names if name in os.environ]]), flush=True)
"""
COMMAND = "import os, boto3; boto3.client('s3').put_object(Bucket='bucket', Key='from/command', Body=os.environ['OWN'].encode())"
HOSTS = {"InstanceType": "ml.c5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 10}
MPI = {"sagemaker_mpi_enabled": "true", "sagemaker_mpi_num_of_processes_per_host": "1"}


def told_by(sandbox: Sandbox, name: str) -> Dict[int, Any]:
    """What each rank has printed after ``told``."""
    lines = [line.partition("told ")[2] for line in log_lines(sandbox, name)["algo-1"] if "told " in line]
    return dict(enumerate(json.loads(line) for line in lines))


@pytest.fixture
def other_service() -> Iterator[int]:
    """The port of another service on this machine's loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def create(sandbox: Sandbox, name: str, text: str, ports: Tuple[int, ...], **fields: Any) -> None:
    """Create a job of two hosts with a rank on each."""
    values = {**MPI, "ports": json.dumps(ports)}
    fields = {"ResourceConfig": HOSTS, "HyperParameters": values, **fields}
    client(sandbox, "sagemaker").create_training_job(**script_request(sandbox, name, {"train.py": text}, **fields))


@pytest.mark.cluster
def test_ranks_ask_the_sandbox_and_nothing_else(emulated_sandbox: Sandbox, other_service: int) -> None:
    sandbox = emulated_sandbox
    port = int(sandbox.url.rpartition(":")[2])
    put(sandbox, "seed", b"seed")
    client(sandbox, "secretsmanager").create_secret(Name="token", SecretString="of the sandbox")
    command = {
        "TrainingImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1",
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["python", "-c", COMMAND],
    }
    create(sandbox, "asks", ASKS, (other_service, port))
    create(sandbox, "isolated", ISOLATED, (port,), EnableNetworkIsolation=True)
    own = job_request("command", AlgorithmSpecification=command, Environment={"OWN": "of a command"})
    client(sandbox, "sagemaker").create_training_job(**own)
    for name in ("asks", "isolated", "command"):
        job = sandbox.wait(name, 180)
        assert (name, job.status, job.failure_reason) == (name, "Completed", None)
    assert get(sandbox, "s3://bucket/from/command") == b"of a command"
    for host in ("algo-1", "algo-2"):
        assert get(sandbox, f"s3://bucket/from/{host}") == host.encode()
    assert keys(sandbox, "large/") == ["large/algo-1", "large/algo-2"]
    found = told_by(sandbox, "asks")
    expected = {"reached": [port], "secret": "of the sandbox", "caller": "123456789012", "regions": [sandbox.region] * 3}
    assert found == {0: expected, 1: expected}
    assert told_by(sandbox, "isolated") == {rank: ["NoCredentialsError", True, []] for rank in (0, 1)}
    assert not [thread for thread in threading.enumerate() if thread.name == "hvdsm-gateway"]


def test_what_the_request_sets_itself_stays() -> None:
    given = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    gateway = Gateway(1, {**given, "AWS_SESSION_TOKEN": "c", "AWS_CONFIG_FILE": os.devnull})
    base = {"PATH": "/bin", "AWS_ENDPOINT_URL": "http://127.0.0.1:2", "AWS_ACCESS_KEY_ID": "d"}
    plain = client_variables(base, gateway, {}, isolated=False)
    assert plain == {"PATH": "/bin", **gateway.variables}
    own = client_variables(base, gateway, {"AWS_ACCESS_KEY_ID": "own", "AWS_SECRET_ACCESS_KEY": "own"}, isolated=False)
    rest = {"PATH": "/bin", "AWS_CONFIG_FILE": os.devnull}
    assert own == {**rest, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    assert client_variables(base, gateway, {}, isolated=True) == rest


def echo(service: socket.socket) -> None:
    """Send everything back, until the service is closed."""

    def answer(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(1 << 16):
                connection.sendall(data)

    while True:
        try:
            connection, _ = service.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


@pytest.fixture
def relayed() -> Iterator[Tuple[int, socket.socket]]:
    """A port that leads to an echo service, and the service."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as service:
        threading.Thread(target=echo, args=(service,), daemon=True).start()
        server = socket.create_server(("127.0.0.1", 0), backlog=512)
        port = server.getsockname()[1]
        relay = Relay([server], service.getsockname()[1])
        yield port, service
        relay.close()
        relay.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def exchange(port: int, size: int) -> bool:
    """Send bytes, end sending, and compare what comes back."""
    data = os.urandom(1 << 16) * (size >> 16) + b"end"
    with socket.create_connection(("127.0.0.1", port), 60) as connection:

        def send() -> None:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        back = bytearray()
        while piece := connection.recv(1 << 20):
            back += piece
        sender.join()
    return back == data


def test_many_connections_and_large_ones_come_through_whole(relayed: Tuple[int, socket.socket]) -> None:
    port, _ = relayed
    with ThreadPoolExecutor(200) as pool:
        assert all(pool.map(lambda _: exchange(port, 1 << 18), range(400)))
    assert exchange(port, 100 << 20)


def test_a_service_that_is_gone_ends_connections(relayed: Tuple[int, socket.socket]) -> None:
    port, service = relayed
    with socket.create_connection(("127.0.0.1", port), 60) as before:
        before.sendall(b"a")
        assert before.recv(1) == b"a"
        service.shutdown(socket.SHUT_RDWR)
        service.close()
        with socket.create_connection(("127.0.0.1", port), 60) as after:
            assert after.recv(1) == b""
        before.sendall(b"b")
        assert before.recv(1) == b"b"


def test_without_descriptors_connections_wait(relayed: Tuple[int, socket.socket]) -> None:
    port, _ = relayed
    with socket.create_connection(("127.0.0.1", port), 60) as first:
        first.sendall(b"a")
        assert first.recv(1) == b"a"
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as waiting:
            waiting.settimeout(60)
            highest = max(int(name) for name in os.listdir("/proc/self/fd"))
            filled = [os.dup(0) for _ in range(highest)]
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(filled) + 1, limits[1]))
            try:
                waiting.connect(("127.0.0.1", port))
                waiting.sendall(b"b")
                first.sendall(b"c")
                assert first.recv(1) == b"c"
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                for descriptor in filled:
                    os.close(descriptor)
            assert waiting.recv(1) == b"b"


@pytest.mark.cluster
def test_a_port_that_a_host_uses_is_told() -> None:
    availability = probe()
    if not availability.ok:
        pytest.skip(f"emulated hosts: {availability.reason}")
    with EmulatedCluster.start(ClusterSpec(1)) as cluster:
        servers = listen(cluster, ["algo-1"], 5000)
        with pytest.raises(HvdsmError, match="cannot listen on port 5000 of its loopback: Address already in use"):
            listen(cluster, ["algo-1"], 5000)
        for server in servers:
            server.close()
        for server in listen(cluster, ["algo-1"], 5000):
            server.close()
