"""The server's certificate and who may vouch for callers, followed as they are rotated; names in certificates."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from hndsr_gateway.identity.errors import UnusableFileError
from hndsr_gateway.identity.expiry import warn_of_expiry
from hndsr_gateway.identity.following import Followed, read_bytes
from hndsr_gateway.settings import Settings

NAMES = ("peer_uri", "peer_dns", "peer_email", "x509_common_name", "x509_subject")
"""Where gRPC tells a certificate's names: its alternative names by their kind, then those of its subject."""
KEY_BEGINS = b"PRIVATE KEY-----"
MISMATCHES = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"})
"""What OpenSSL says of a certificate and the key of another."""


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
        for fault in self.faults().values():
            raise fault
        pair = read_bytes(self.key), read_bytes(self.certificate)
        roots = None if self.client_ca is None else read_bytes(self.client_ca)
        return grpc.ssl_server_certificate_configuration([pair], roots)

    def faults(self) -> dict[str, UnusableFileError]:
        """What is wrong with the files, by the setting of each; none of it is left for gRPC, which tells no reason."""
        found = {
            "HNDSR_TLS_CERTIFICATE": _fault(lambda: _check_certificates(self.certificate)),
            "HNDSR_TLS_KEY": _fault(lambda: _check_key(self.key)),
        }
        if not any(found.values()):
            found["HNDSR_TLS_KEY"] = _fault(self._check_pair)
        if (client_ca := self.client_ca) is not None:
            found["HNDSR_TLS_CLIENT_CA"] = _fault(lambda: _check_certificates(client_ca))
        return {setting: fault for setting, fault in found.items() if fault is not None}

    def _check_pair(self) -> None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, password=_no_password)
        except _EncryptedKeyError as error:
            raise UnusableFileError(path=self.key, problem="is encrypted; store the key without a password") from error
        except OSError as error:  # of which SSLError is one
            reason = getattr(error, "reason", None) or "not read"
            problem = (
                f"is not the key of {self.certificate}"
                if reason in MISMATCHES
                else f"and {self.certificate} cannot be used together ({reason})"
            )
            raise UnusableFileError(path=self.key, problem=problem) from error


def _fault(check: Callable[[], None]) -> UnusableFileError | None:
    try:
        check()
    except UnusableFileError as error:
        return error
    return None


def _check_certificates(path: Path) -> None:
    content = read_bytes(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=content.decode("ascii", errors="ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise UnusableFileError(path=path, problem="holds no certificate in PEM") from error


def _check_key(path: Path) -> None:
    """Whether it is one at all: OpenSSL reads a key only beside its certificate."""
    if KEY_BEGINS not in read_bytes(path):
        raise UnusableFileError(path=path, problem="holds no private key in PEM")


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
        warn_of_expiry(files.certificate)
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
