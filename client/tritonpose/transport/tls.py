"""The certificates of an encrypted connection."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpose.errors import ConfigError

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True)
class TlsFiles:
    """The PEM files of an encrypted connection.

    `ca_file` has the authorities that may have signed the server's certificate; None for the ones
    that the protocol's library trusts. `cert_file` is the client's certificate, for servers that
    ask for one, with `key_file`, its private key, not encrypted.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    @classmethod
    def from_paths(
        cls,
        ca_file: str | os.PathLike[str] | None,
        cert_file: str | os.PathLike[str] | None,
        key_file: str | os.PathLike[str] | None,
    ) -> TlsFiles:
        """Check that the files can be used, as gRPC says little about unusable ones.

        ConfigError says which can't be read, isn't PEM, lacks its other half or doesn't fit it.
        """
        import ssl

        if (cert_file is None) != (key_file is None):
            raise ConfigError("cert_file and key_file belong together: give both or neither")
        files = cls(
            _readable("ca_file", ca_file),
            _readable("cert_file", cert_file),
            _readable("key_file", key_file),
        )
        try:
            files.context()
        except ssl.SSLError as error:
            given = ", ".join(f"{name}={file!r}" for name, file in vars(files).items() if file)
            raise ConfigError(
                f"{given}: expected PEM files, of which the key isn't encrypted and "
                f"fits the certificate ({error})"
            ) from error
        return files

    def context(self) -> ssl.SSLContext:
        """Make a context that checks the server's certificate and its host name."""
        import ssl

        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file is not None:
            # Without a password, OpenSSL would ask for that of an encrypted key on the terminal;
            # an empty one makes it an error.
            context.load_cert_chain(self.cert_file, self.key_file, password="")
        return context


def _readable(name: str, file: str | os.PathLike[str] | None) -> str | None:
    """Return a path after having read it; raise ConfigError."""
    if file is None:
        return None
    try:
        Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"{name}={os.fspath(file)!r}: {error.strerror}") from error
    return os.fspath(file)
