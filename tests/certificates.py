"""Certificates of an authority that a test makes, as PEM files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc
import trustme


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Vouches for servers and callers.

    Args:
        folder: where the files go.
        name: of its own file.
    """

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.file = folder / f"{name}.pem"
        self.pem: bytes = self._ca.cert_pem.bytes()
        self.file.write_bytes(self.pem)

    def write(self, name: str, *identities: str, common_name: str | None = None) -> Certificate:
        """Files for a holder of these alternative names, new or in the place of those that there are."""
        issued = self._ca.issue_cert(*identities, common_name=common_name)
        files = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}-key.pem")
        files.key.write_bytes(issued.private_key_pem.bytes())
        files.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return files

    def credentials(self, client: Certificate | None = None) -> grpc.ChannelCredentials:
        """A channel's that believes this authority, and shows a certificate or none."""
        if client is None:
            return grpc.ssl_channel_credentials(self.pem)
        return grpc.ssl_channel_credentials(self.pem, client.key.read_bytes(), client.certificate.read_bytes())
