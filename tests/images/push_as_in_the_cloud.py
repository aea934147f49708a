"""Pushes an image by a real engine to a registry that has the name, the port and the password of one in ECR.

Run in a mount and a network namespace of its own: ``push_as_in_the_cloud.py ENGINE DIRECTORY``.
"""

from __future__ import annotations

import datetime
import fcntl
import ipaddress
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from registry_server import registry_server

from hvdsm.sandbox import Sandbox

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
# What moto gives for GetAuthorizationToken.
PASSWORD = "123456789012-auth-token"
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def loopback_up() -> None:
    """A new network namespace has it down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def certificate(directory: Path) -> ssl.SSLContext:
    """A certificate for the host, signed by itself; it is in ``certificate.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName([x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.TraditionalOpenSSL
    (directory / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
    return context


def main(engine: str, directory: Path) -> None:
    """Push, and print as JSON what came of it."""
    loopback_up()
    (directory / "hosts").write_text(f"127.0.0.1 localhost {HOST}\n")
    subprocess.run(["mount", "--bind", str(directory / "hosts"), "/etc/hosts"], check=True)
    with registry_server("AWS", PASSWORD, 443, certificate(directory)) as registry, Sandbox.start() as sandbox:
        env = {**os.environ, **sandbox.environ(), "SSL_CERT_FILE": str(directory / "certificate.pem")}
        results = []
        for words in (
            ["build", str(directory / "two lines"), "--name", f"{HOST}/team/test", "--tag", "1"],
            ["push", f"{HOST}/team/test:1"],
            ["push", f"{HOST}/team/test:1"],
        ):
            argv = [sys.executable, "-m", "hvdsm", "image", *words, "--engine", engine, "--json"]
            done = subprocess.run(argv, env=env, capture_output=True, text=True)
            results.append({"code": done.returncode, "out": json.loads(done.stdout or "null"), "err": done.stderr})
        kinds = {"/".join(key): kind for key, (kind, _) in registry.manifests.items()}
        asked = [name for name, _ in sandbox.requests]
        print(json.dumps({"results": results, "manifests": kinds, "asked": asked}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
