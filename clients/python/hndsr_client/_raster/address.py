"""What rasters are called: by callers, by GDAL, and before people."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

_SYSTEMS = {
    "http": "/vsicurl/http://",
    "https": "/vsicurl/https://",
    "s3": "/vsis3/",
    "gs": "/vsigs/",
    "az": "/vsiaz/",
}
_REMOTE = re.compile(
    r"/vsi(curl|s3|gs|az|adls|oss|swift|webhdfs|hdfs)(_streaming)?[/?]|https?://|^(s3|gs|az)://|^(WMS|WMTS|WCS):",
    re.IGNORECASE,
)
_USER = re.compile(r"(?<=://)[^/\s\"'?#]*@")
# What follows a question mark of an address may be a signature; that of /vsicurl? may hold a user.
_QUERY = re.compile(r"(?P<address>(?:https?://|/vsi\w+[/?])[^\s\"'?]*)\?[^\s\"']*", re.IGNORECASE)
_OPTIONS = re.compile(r"(/vsi\w+)\?[^\s\"']*", re.IGNORECASE)
_SECRET = re.compile(
    r"([\w-]*(?:signature|credential|token|secret|password|userpwd|api[_-]?key)[\w-]*)=[^\s&\"',]+", re.IGNORECASE
)

_WRAPPERS = re.compile(r"^(?:/vsi(?:zip|gzip|tar|7z|rar|cached)[/?]|/vsisubfile/[^,/]*,|/vsisparse/)+")
_OF_FOLDERS = {".zarray", ".zgroup", ".zmetadata", "zarr.json"}


def opened_as(path: str | os.PathLike[str]) -> str:
    """What GDAL is told to open."""
    name = os.fsdecode(path)
    local = local_path(name)
    if local is not None:
        return str(local)
    scheme, found, rest = name.partition("://")
    return _SYSTEMS[scheme.lower()] + rest if found and scheme.lower() in _SYSTEMS else name


def local_path(name: str) -> Path | None:
    """The file or folder on this machine that a name is that of, None where it is none."""
    if name.lower().startswith("file://"):
        parts = urlsplit(name)
        return Path(unquote(parts.path)) if parts.netloc in {"", "localhost"} else None
    if name.startswith("/vsi"):
        return None
    return Path(name).absolute() if Path(name).exists() or not re.match(r"[A-Za-z][\w+.]+:", name) else None


def is_remote(name: str) -> bool:
    """Whether GDAL asks other machines for it."""
    return _REMOTE.search(name) is not None


def public(text: str) -> str:
    """A name or a message without the credentials of the addresses in it."""
    text = _USER.sub("", text)
    text = _OPTIONS.sub(r"\1?…", text)
    return _SECRET.sub(r"\1=…", _QUERY.sub(r"\g<address>?…", text))


def file_behind(name: str) -> Path | None:
    """What on this machine holds what GDAL calls so: of an archive, the archive itself, of zarr the folder."""
    if is_remote(name):
        return None
    path = Path(re.sub(r"[{}]", "", _WRAPPERS.sub("", name)) if name.startswith("/vsi") else name)
    if path.name in _OF_FOLDERS:
        path = path.parent
    for each in (path, *path.parents):
        if each.is_file() or (each == path and each.is_dir()):
            return each.absolute()
    return None
