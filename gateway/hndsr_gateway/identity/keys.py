"""API keys: what the file of them says, and whose a key is that somebody sends.

A secret is 256 random bits, so nobody finds it by trying, and one pass of SHA-256 keeps it as safe as a slow hash,
which is for what people make up. Source: NIST SP 800-63B (revision 3), 5.1.2.2: "Look-up secrets having at least 112
bits of entropy SHALL be hashed with an approved one-way function", those with fewer salted and hashed slowly.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_serializer,
    model_validator,
)

from hndsr_gateway.caller import Caller, Quotas, Scope
from hndsr_gateway.errors import UnauthenticatedError
from hndsr_gateway.identity.errors import UnusableFileError
from hndsr_gateway.identity.following import Followed

PREFIX = "hndsr_"
KEY_TEXT = re.compile(rf"{PREFIX}([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")
"""`hndsr_`, the id in 48 bits, the secret in 256."""
UNKNOWN = "the key or token that was sent does not count here"
"""What is said of one that is not known, written otherwise, or wrong: which of them it is helps nobody honest."""
NOBODYS = bytes(hashlib.sha256().digest_size)
"""What no secret is hashed to."""

Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]


class KeyQuotas(BaseModel):
    """What the key's caller may have; where it says nothing, or 0, the gateway's settings hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: Count = 0
    target_px_per_hour: Count = 0
    calls: Count = 0
    streams: Count = 0


class ApiKey(BaseModel):
    """One key, without its secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
    name: Name
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """Of the secret's text."""
    scopes: frozenset[Scope]
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None
    quotas: KeyQuotas = KeyQuotas()

    @field_serializer("scopes")
    def _in_order(self, scopes: frozenset[Scope]) -> list[str]:
        return listed(scopes)

    def state(self, now: datetime) -> Literal["valid", "expired", "revoked"]:
        """Whether it counts."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"

    def caller(self) -> Caller:
        """Who sends it."""
        return Caller(f"key:{self.id}", self.name, self.scopes, Quotas(**self.quotas.model_dump()))


class KeyFile(BaseModel):
    """The file: JSON, `{"keys": [{"id": …, "name": …, "sha256": …, "created": …}, …]}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[ApiKey, ...] = ()

    @model_validator(mode="after")
    def _tell_apart(self) -> KeyFile:
        if len({key.id for key in self.keys}) < len(self.keys):
            raise ValueError("two keys have one id")
        return self

    @classmethod
    def read(cls, path: Path) -> KeyFile:
        """What a file holds that nobody but its owner can write to.

        Raises:
            UnusableFileError: it cannot be read, others may write to it, or it is no such file.
        """
        try:
            with path.open("rb") as file:
                mode, content = os.fstat(file.fileno()).st_mode, file.read()
        except OSError as error:
            remedy = "; make one with: hndsr-gateway keys create NAME" if isinstance(error, FileNotFoundError) else ""
            problem = f"cannot be read: {error.strerror or error}{remedy}"
            raise UnusableFileError(path=path, problem=problem) from error
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise UnusableFileError(path=path, problem=f"may be written to by others; run: chmod go-w {path}")
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            fault = error.errors(include_input=False)[0]
            told = " ".join((".".join(map(str, fault["loc"])), fault["msg"])).strip()
            raise UnusableFileError(path=path, problem=f"is no file of keys: {told}") from error


class ApiKeys:
    """Tells whose a key is, by a file that is followed."""

    def __init__(self, path: Path, *, every_s: float = 1.0) -> None:
        self._keys: Followed[Mapping[str, ApiKey]] = Followed(
            (path,), lambda: {key.id: key for key in KeyFile.read(path).keys}, every_s=every_s
        )

    def caller_of(self, text: str) -> Caller:
        """Who sends this key.

        A hash is always made and compared, in a time that does not depend on where the two differ; and what is
        compared are hashes, of which a sender can choose no part.

        Raises:
            UnauthenticatedError: nobody, or its time is over, which only those hear who know the secret.
        """
        written = KEY_TEXT.fullmatch(text)
        identifier, secret = written.groups() if written else ("", text)
        key = self._keys.content().get(identifier)
        is_it = hmac.compare_digest(hashed(secret), NOBODYS if key is None else bytes.fromhex(key.sha256))
        if key is None or not is_it:
            raise UnauthenticatedError(UNKNOWN)
        state = key.state(datetime.now(timezone.utc))
        if state != "valid":
            raise UnauthenticatedError(f"the key {key.name!r} is {state}")
        return key.caller()


def hashed(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def listed(scopes: frozenset[Scope]) -> list[str]:
    """Names of scopes, always in one order."""
    return [scope.value for scope in Scope if scope in scopes]
