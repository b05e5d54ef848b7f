"""A TLS server that shows one leaf, and what clients think of it: curl, git, Node, openssl, Python."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from proxy_addon.ca import Leaf

BODY = b"0123456789012345678901234567890123456789\trefs/heads/main\n"  # to git: a repo with one branch
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY)
_BY_NODE = """
const tls = require("tls");
const [name, port, ca] = process.argv.slice(1);
const told = (error) => { console.log(error.message); process.exit(1); };
const to = { host: "127.0.0.1", port, ca: require("fs").readFileSync(ca) };
tls.connect(/^[0-9.]+$/.test(name) ? to : { ...to, servername: name }, () => process.exit(0)).on("error", told);
"""


def signed_again(
    certificate: x509.Certificate,
    signer: EllipticCurvePrivateKey,
    change: Callable[[x509.ExtensionType], x509.ExtensionType | None],
) -> x509.Certificate:
    """The same certificate with other extensions; None takes one away."""
    builder = x509.CertificateBuilder(
        certificate.issuer,
        certificate.subject,
        certificate.public_key(),
        x509.random_serial_number(),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )
    for extension in certificate.extensions:
        if (value := change(extension.value)) is not None:
            builder = builder.add_extension(value, extension.critical)
    return builder.sign(signer, hashes.SHA256())


@contextlib.contextmanager
def shown(leaf: Leaf, folder: Path) -> Iterator[int]:
    """The port of a server with `leaf`, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "leaf.pem").write_bytes(leaf.key_pem + leaf.chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            raw.settimeout(20)
            with raw, contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as peer:
                if peer.recv(65536):
                    peer.sendall(_ANSWER + BODY)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(30)


def _run(*command: object, **more: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", **more}
    words, nothing = [*map(str, command)], subprocess.DEVNULL
    done = subprocess.run(words, env=env, stdin=nothing, capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr or "failed"


def _curl(name: str, port: int, ca: Path) -> str:
    at = ("--connect-to", f"{name}:443:127.0.0.1:{port}")
    return _run("curl", "-q", "-sS", "--noproxy", "*", "--max-time", 20, "--cacert", ca, *at, f"https://{name}/")


def _git(name: str, port: int, ca: Path) -> str:
    at = ("-c", f"http.curloptResolve={name}:{port}:127.0.0.1")
    return _run("git", *at, "ls-remote", f"https://{name}:{port}/x", GIT_SSL_CAINFO=str(ca), NO_PROXY="*")


def _node(name: str, port: int, ca: Path) -> str:
    return _run("node", "-e", _BY_NODE, name, port, ca)


def _openssl(name: str, port: int, ca: Path) -> str:
    address = name.replace(".", "").isdigit()
    asked = ("-verify_ip", name) if address else ("-verify_hostname", name, "-servername", name)
    trust = ("-verify_return_error", "-CAfile", ca, "-no-CApath", "-no-CAstore")
    return _run("openssl", "s_client", "-brief", "-connect", f"127.0.0.1:{port}", *asked, *trust)


def _python(name: str, port: int, ca: Path) -> str:
    context = ssl.create_default_context(cafile=ca)
    with socket.create_connection(("127.0.0.1", port), 20) as raw:
        try:
            context.wrap_socket(raw, server_hostname=name).close()
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
    return ""


#: (server name, port on 127.0.0.1, PEM file of the only roots trusted) -> what is wrong; "" when it is accepted.
VERIFIERS: dict[str, Callable[[str, int, Path], str]] = {
    "curl": _curl,
    "git": _git,
    "node": _node,
    "openssl": _openssl,
    "python": _python,
}
