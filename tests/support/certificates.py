"""Certificates of a private authority, made by the openssl program."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

# Made in no time, unlike those of RSA.
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificates:
    """PEM files: the authority's certificate, and a key pair of a server and of a client."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


def make_certificates(directory: Path, host: str = "localhost") -> Certificates:
    """Makes an authority and lets it sign certificates for `host` and for a client."""
    _openssl(
        *("req", "-x509", *_NEW_KEY, "-days", "2"),
        *("-subj", "/CN=Test authority", "-keyout", directory / "ca.key"),
        # Python 3.13 requires it.
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-out", directory / "ca.pem"),
    )
    for name, extension in (
        ("server", f"subjectAltName=DNS:{host}"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        (directory / f"{name}.ext").write_text(extension)
        _openssl(
            *("req", *_NEW_KEY, "-subj", f"/CN={name}"),
            *("-keyout", directory / f"{name}.key", "-out", directory / f"{name}.csr"),
        )
        _openssl(
            *("x509", "-req", "-days", "2", "-in", directory / f"{name}.csr"),
            *("-CA", directory / "ca.pem", "-CAkey", directory / "ca.key", "-CAcreateserial"),
            *("-extfile", directory / f"{name}.ext", "-out", directory / f"{name}.pem"),
        )
    return Certificates(
        directory / "ca.pem",
        *(directory / f"{name}.{kind}" for name in ("server", "client") for kind in ("pem", "key")),
    )


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
