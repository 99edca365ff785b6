"""What both kinds of client keep of the way to a server."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import grpc

from hndsr_client._core.checks import checked_api_key, checked_target, checked_timeout_s, is_on_this_machine
from hndsr_client._core.files import problem
from hndsr_client._core.requests import MAX_MESSAGE_BYTES
from hndsr_client._core.retries import Attempts, Budget
from hndsr_client._core.status import service_error
from hndsr_client.connection import Keepalive, Pem, Retry, Tls
from hndsr_client.errors import ArgumentError, OverloadedError, ServiceError, UnavailableError

ChannelOptions = tuple[tuple[str, Any], ...]
TlsChoice = bool | Tls | None

# What a call raises: a status, or, in the one or the other kind of client, that its channel was closed before.
CALL_ERRORS = grpc.RpcError, ValueError, grpc.aio.UsageError

CHANNEL_OPTIONS: ChannelOptions = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Retries are made in one place, which is not gRPC: it neither knows OVERLOADED nor counts its own.
    ("grpc.enable_retries", 0),
    # A server that is back is found again within a retry or two, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
LOCAL_CHANNEL_OPTIONS: ChannelOptions = (("grpc.enable_http_proxy", 0),)


class Connection:
    """Where, how and for how long calls are made, and what becomes of those that fail.

    Attributes:
        target: The address, as gRPC takes it.
        options: The channel's.
        credentials: The channel's, None for one that is not encrypted.
        authorization: What is sent beside every request to say who calls.
        closed: Whether the client was closed.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_s: float | None,
        tls: TlsChoice,
        retry: Retry | None,
        keepalive: Keepalive | None,
        local: bool,
        api_key: str | None = None,
    ) -> None:
        """Check what is given; nothing is called.

        Args:
            target: "HOST:PORT", or any other name that gRPC resolves.
            timeout_s: Seconds that a call may take where it says nothing else.
            tls: How the channel is encrypted, if it is.
            retry: How calls are tried again, None for never.
            keepalive: When the channel is pinged, None for never.
            local: Whether the server is on this machine, where no proxy leads.
            api_key: Says to the server who calls, None where it need not know.

        Raises:
            ArgumentError: Something of it cannot be used.
        """
        self.target = checked_target(target)
        self.closed = False
        _check_kind("retry", retry, Retry)
        _check_kind("keepalive", keepalive, Keepalive)
        self._timeout_s = checked_timeout_s(timeout_s)
        self._retry = retry
        self._budget = Budget(None if retry is None else retry.budget)
        self.credentials = _credentials(tls)
        self.authorization = checked_api_key(api_key)
        if self.authorization and tls is None and not is_on_this_machine(target):
            raise ArgumentError(
                f"the API key would be sent to {target} for everybody on the way to read; "
                "pass tls=True, or tls=False where the network sees to it"
            )
        self.options = CHANNEL_OPTIONS + _keepalive_options(keepalive) + _name_options(tls)
        self.options += LOCAL_CHANNEL_OPTIONS if local else ()

    def attempts(self, timeout_s: float | None) -> Attempts:
        """The attempts of a call that begins now.

        Raises:
            ArgumentError: The client is closed, or no call can be given this time.
        """
        if self.closed:
            raise ArgumentError("the client is closed; make another")
        allowed_s = self._timeout_s if timeout_s is None else checked_timeout_s(timeout_s)
        return Attempts(self._retry, self._budget, timeout_s=allowed_s)

    def check_open(self, attempts: Attempts) -> None:
        """Refuse to go on with a call of a client that was closed meanwhile.

        Raises:
            UnavailableError: It was.
        """
        if self.closed:
            raise _closed(attempts)

    def failure(self, error: BaseException, attempts: Attempts) -> ServiceError:
        """The error of this package for what a call raised.

        Raises:
            BaseException: The error itself, if it is no status and the client was not closed.
        """
        if isinstance(error, grpc.RpcError):
            return service_error(error, target=self.target, timeout_s=attempts.timeout_s, attempts=attempts.number)
        if not self.closed:
            raise error
        return _closed(attempts)

    def is_lost(self, failure: ServiceError) -> bool:
        """Whether the server itself may be gone; one that closed or is overloaded is not."""
        return not self.closed and isinstance(failure, UnavailableError) and not isinstance(failure, OverloadedError)


def _closed(attempts: Attempts) -> UnavailableError:
    return UnavailableError("the client was closed", reason="CANCELLED", code="CANCELLED", attempts=attempts.number)


def _check_kind(name: str, given: object, kind: type) -> None:
    if given is not None and not isinstance(given, kind):
        raise ArgumentError(f"{name} is {given!r}, accepted are None and {kind.__name__}")


def _keepalive_options(keepalive: Keepalive | None) -> ChannelOptions:
    if keepalive is None:
        return ()
    return (
        ("grpc.keepalive_time_ms", round(keepalive.time_s * 1000)),
        ("grpc.keepalive_timeout_ms", round(keepalive.timeout_s * 1000)),
    )


def _name_options(tls: TlsChoice) -> ChannelOptions:
    if not isinstance(tls, Tls) or tls.server_name is None:
        return ()
    return (("grpc.ssl_target_name_override", tls.server_name),)


def _credentials(tls: TlsChoice) -> grpc.ChannelCredentials | None:
    if tls is None or tls is False:
        return None
    if not isinstance(tls, (bool, Tls)):
        raise ArgumentError(f"tls is {type(tls).__name__}, accepted are True, False and Tls")
    tls = Tls() if isinstance(tls, bool) else tls
    _check_pair(tls)
    return grpc.ssl_channel_credentials(
        root_certificates=_pem("root_certificates", tls.root_certificates, "CERTIFICATE"),
        private_key=_pem("client_key", tls.client_key, "PRIVATE KEY"),
        certificate_chain=_pem("client_certificate", tls.client_certificate, "CERTIFICATE"),
    )


def _check_pair(tls: Tls) -> None:
    """Refuse the files of a key and of another's certificate, of which gRPC says nothing before every call fails."""
    key, certificate = tls.client_key, tls.client_certificate
    if key is None or certificate is None or isinstance(key, bytes) or isinstance(certificate, bytes):
        return
    # What is wrong with one of the two is said by name.
    _pem("client_key", key, "PRIVATE KEY")
    _pem("client_certificate", certificate, "CERTIFICATE")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise ArgumentError(f"client_key: {key}: is not the key of the certificate {certificate}") from error


def _pem(name: str, given: Pem | None, kind: str) -> bytes | None:
    """The content, if it is of its kind at the first glance: gRPC tells of no mistake before every call fails."""
    if given is None:
        return None
    where = name if isinstance(given, bytes) else f"{name}: {given}"
    try:
        content = given if isinstance(given, bytes) else Path(given).read_bytes()
    except (OSError, ValueError) as error:
        raise ArgumentError(f"{where}: {problem(error)}") from error
    if b"ENCRYPTED PRIVATE KEY" in content or b"Proc-Type: 4,ENCRYPTED" in content:
        raise ArgumentError(f"{where}: the key is encrypted; decrypt it, or use another")
    if f"{kind}-----".encode() not in content:
        raise ArgumentError(f"{where}: no {kind.lower()} in PEM, which begins with '-----BEGIN'")
    return content
