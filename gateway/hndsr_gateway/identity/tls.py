"""The server's certificate and who may vouch for callers, followed as they are rotated; names in certificates."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from hndsr_gateway.identity.errors import UnusableFileError
from hndsr_gateway.identity.following import Followed, read_bytes
from hndsr_gateway.settings import Settings

NAMES = ("peer_uri", "peer_dns", "peer_email", "x509_common_name", "x509_subject")
"""Where gRPC tells a certificate's names: its alternative names by their kind, then those of its subject."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where certificates lie."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    """None: callers need no certificate."""

    @classmethod
    def of(cls, settings: Settings) -> TlsFiles | None:
        """Those of the settings; None: no TLS."""
        if not settings.tls_certificate:
            return None
        client_ca = Path(settings.tls_client_ca) if settings.tls_client_ca else None
        return cls(Path(settings.tls_certificate), Path(settings.tls_key), client_ca)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All that there are."""
        return (self.certificate, self.key, *([self.client_ca] if self.client_ca else []))

    def read(self) -> Any:
        """What gRPC is configured with.

        Raises:
            UnusableFileError: one is not there or not what it should be, or the key is not that of the certificate.
        """
        pair = read_bytes(self.key), read_bytes(self.certificate)
        self._check_pair()
        roots = None if self.client_ca is None else self._roots(self.client_ca)
        return grpc.ssl_server_certificate_configuration([pair], roots)

    def _check_pair(self) -> None:
        """Let OpenSSL say what gRPC would say of no file, but of every handshake."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, password=_no_password)
        except _EncryptedKeyError as error:
            raise UnusableFileError(path=self.key, problem="is encrypted; store the key without a password") from error
        except ssl.SSLError as error:
            problem = f"and {self.key} are no certificate and its key, in PEM ({error.reason or 'nothing found'})"
            raise UnusableFileError(path=self.certificate, problem=problem) from error

    @staticmethod
    def _roots(path: Path) -> bytes:
        content = read_bytes(path)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=content.decode("latin-1"))
        except (ssl.SSLError, ValueError) as error:
            raise UnusableFileError(path=path, problem="holds no certificate in PEM") from error
        return content


class _EncryptedKeyError(Exception):
    """OpenSSL asked for a password."""


def _no_password() -> str:
    raise _EncryptedKeyError


def server_credentials(files: TlsFiles) -> Any:
    """Credentials of a server; each handshake is made with what the files hold then, connections go on as they are.

    Raises:
        UnusableFileError: the files cannot be used.
    """
    followed = Followed(files.paths, files.read, every_s=0)
    told = [followed.content()]

    def changed() -> Any:
        """What the next handshake is made with, None for the same; gRPC's threads ask."""
        if (found := followed.content()) is told[0]:
            return None
        told[0] = found
        return found

    return grpc.dynamic_ssl_server_credentials(
        told[0], changed, require_client_authentication=files.client_ca is not None
    )


def certificate_names(auth_context: Mapping[str, Iterable[bytes]]) -> list[str]:
    """What a verified certificate calls its holder, the name that tells most first; none where there is no certificate.

    Args:
        auth_context: of a call, as gRPC tells it.
    """
    return [name.decode(errors="replace") for kind in NAMES for name in auth_context.get(kind, ()) if name]
