"""The committed stubs run with every protobuf and gRPC that the distribution allows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from hndsr.v1 import upscale_pb2, upscale_pb2_grpc

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROTO = Path(__file__).parents[2] / "proto"
ROUND_TRIP = """
import google.protobuf, grpc
from hndsr.v1 import upscale_pb2 as pb, upscale_pb2_grpc
request = pb.UpscaleRequest(parameters=pb.UpscaleParameters(scale="22/7"), encoded=b"\\x00\\xff")
assert pb.UpscaleRequest.FromString(request.SerializeToString()) == request
upscale_pb2_grpc.UpscaleServiceStub(grpc.insecure_channel("127.0.0.1:1"))
print(google.protobuf.__version__)
"""


def requirement(name: str) -> Requirement:
    project = tomllib.loads((PROTO / "pyproject.toml").read_text())["project"]
    return next(found for found in map(Requirement, project["dependencies"]) if found.name == name)


def oldest(name: str) -> Version:
    return next(Version(bound.version) for bound in requirement(name).specifier if bound.operator == ">=")


def test_oldest_protobuf_allowed_is_the_one_that_the_stubs_were_generated_for() -> None:
    source = Path(upscale_pb2.__file__).read_text()
    found = re.search(r"ValidateProtobufRuntimeVersion\(\s*[\w.]+,\s*(\d+),\s*(\d+),\s*(\d+)", source)
    assert found
    assert oldest("protobuf") == Version(".".join(found.groups()))


def test_oldest_grpcio_allowed_is_the_one_that_the_stubs_were_generated_for() -> None:
    assert oldest("grpcio") == Version(upscale_pb2_grpc.GRPC_GENERATED_VERSION)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["oldest", "newest"])
def test_stubs_work_with_protobuf(end: str, tmp_path: Path) -> None:
    wanted = f"protobuf=={oldest('protobuf')}" if end == "oldest" else f"protobuf{requirement('protobuf').specifier}"
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target", str(tmp_path), wanted]
    subprocess.run(pip, check=True)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ROUND_TRIP],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{PROTO}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Version(done.stdout.strip()) in requirement("protobuf").specifier
    assert end == "newest" or Version(done.stdout.strip()) == oldest("protobuf")
