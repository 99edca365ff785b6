"""Makes and revokes API keys in their file, which is whole at any time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from hndsr_gateway.caller import Scope
from hndsr_gateway.errors import StartupError
from hndsr_gateway.identity.errors import UnusableFileError
from hndsr_gateway.identity.keys import PREFIX, ApiKey, KeyFile, KeyQuotas, hashed

ID_BYTES, SECRET_BYTES = 6, 32
OWNER_ONLY = 0o600


class NameTakenError(StartupError):
    """Two keys that count would have one name."""

    def __init__(self, *, name: str) -> None:
        super().__init__(f"there is a key {name!r} that counts; revoke it, or choose another name")


class NoSuchKeyError(StartupError):
    """A key is named that is not in the file, or counts no more."""

    def __init__(self, *, named: str) -> None:
        super().__init__(f"no key that counts has the name or id {named!r}; `hndsr-gateway keys list` names all")


class KeyStore:
    """The keys of one file.

    Args:
        path: of the file; it is made with the first key.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.realpath(path))

    def entries(self) -> tuple[ApiKey, ...]:
        """All keys, none where there is no file.

        Raises:
            UnusableFileError: it cannot be read, or is no file of keys.
        """
        return KeyFile.read(self._path).keys if self._path.exists() else ()

    def create(
        self, name: str, *, scopes: Iterable[Scope], expires: datetime | None, quotas: KeyQuotas
    ) -> tuple[str, ApiKey]:
        """A new key: its text, which is kept nowhere, and what the file says of it.

        Raises:
            NameTakenError: there is one of that name.
            UnusableFileError: the file cannot be read or written.
        """
        now = datetime.now(timezone.utc)
        identifier, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
        key = ApiKey(
            id=identifier,
            name=name,
            sha256=hashed(secret).hex(),
            scopes=frozenset(scopes),
            created=now.replace(microsecond=0),
            expires=expires,
            quotas=quotas,
        )
        with self._locked():
            keys = self.entries()
            if any(one.name == name and one.state(now) == "valid" for one in keys):
                raise NameTakenError(name=name)
            self._write(KeyFile(keys=(*keys, key)))
        return f"{PREFIX}{identifier}_{secret}", key

    def revoke(self, named: str) -> ApiKey:
        """Have the key of this id, or the one that counts of this name, count no more.

        Raises:
            NoSuchKeyError: there is none.
            UnusableFileError: the file cannot be read or written.
        """
        now = datetime.now(timezone.utc)
        with self._locked():
            keys = self.entries()
            found = [one for one in keys if one.revoked is None and named in {one.id, one.name}]
            # Of one name there may be some whose time is over, and at most one that counts.
            found.sort(key=lambda one: (one.id == named, one.state(now) == "valid"))
            if not found:
                raise NoSuchKeyError(named=named)
            revoked = found[-1].model_copy(update={"revoked": now.replace(microsecond=0)})
            self._write(KeyFile(keys=tuple(revoked if one.id == revoked.id else one for one in keys)))
        return revoked

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep others from changing the file; the lock is on its folder, since the file is replaced."""
        try:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise UnusableFileError(path=self._path.parent, problem=f"cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _write(self, file: KeyFile) -> None:
        content = file.model_dump_json(indent=2, exclude_defaults=True) + "\n"
        try:
            self._replace(content.encode())
        except OSError as error:
            raise UnusableFileError(path=self._path, problem=f"cannot be written: {error.strerror}") from error

    def _replace(self, content: bytes) -> None:
        """Put content in the file's place, for the same readers; a new file is for its owner alone."""
        before = self._path.stat() if self._path.exists() else None
        descriptor, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "wb") as new:
                new.write(content)
                if before is not None and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(new.fileno(), before.st_uid, before.st_gid)
                os.fchmod(new.fileno(), OWNER_ONLY if before is None else before.st_mode & 0o777)
                new.flush()
                os.fsync(new.fileno())
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
