"""Messages that hypothesis makes from the contract's descriptors, and bytes that are none, to a live gateway."""

from __future__ import annotations

import random
from typing import Any

import psutil
import pytest
import rpc_messages
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import png

from hndsr.v1 import upscale_pb2 as pb

# Of value ranges that are next to nothing; the samples become the ends of the range, as they must.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in divide:RuntimeWarning")

TYPES: dict[int, tuple[type[Message], int]] = {
    0: (pb.GetModelInfoRequest, 1),
    1: (pb.PlanUpscaleRequest, 1),
    2: (pb.UpscaleRequest, 1),
    3: (pb.UpscaleStreamRequest, 3),
    4: (pb.CompareRequest, 1),
    5: (health_pb2.HealthCheckRequest, 1),
}
"""The message of each call, and how many are sent at most."""
CALLS = (*TYPES, 6, 8)
"""All but reflection, which answers INTERNAL to what is no message."""
WORDS = ("", "bicubic", "hndsr", "2", "1.5", "22/7", "8", "-1", "1e9", "revision-1")
PNG = png(rpc_messages.SOURCE)
MIB = 2**20
WARM, MANY = 2000, 6000
GROWTH_BYTES = 32 * MIB


VALUES: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=200) | st.sampled_from((PNG, rpc_messages.SOURCE.tobytes())),
    FieldDescriptor.TYPE_STRING: st.sampled_from(WORDS) | st.text(max_size=20),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_DOUBLE: st.floats() | st.integers(0, 300).map(float),
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32) | st.integers(0, 2).map(float),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1) | st.integers(0, 9),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1) | st.integers(0, 9),
    FieldDescriptor.TYPE_FIXED32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_ENUM: st.integers(-(2**31), 2**31 - 1) | st.integers(0, 6),
}
"""Of fields by their types: likely values as often as any."""


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    known = VALUES.get(field.type)
    return message(GetMessageClass(field.message_type)) if known is None else known


def message(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Messages with any of their fields."""
    fields = {
        field.name: st.lists(_values(field), max_size=4) if field.is_repeated else _values(field)
        for field in kind.DESCRIPTOR.fields
    }
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: kind(**given))


def _input(call: int) -> st.SearchStrategy[bytes]:
    kind, most = TYPES[call]
    sent = st.lists(message(kind).map(lambda one: one.SerializeToString()), min_size=1, max_size=most)
    return sent.map(lambda messages: rpc_messages.packed(call, messages))


ANY = st.sampled_from(sorted(TYPES)).flatmap(_input)
BROKEN = st.builds(
    rpc_messages.packed,
    st.sampled_from(CALLS),
    st.lists(st.binary(max_size=100), min_size=1, max_size=3),
)


@settings(max_examples=60, deadline=None)
@given(ANY | BROKEN)
def test_message_is_answered_or_refused_with_a_reason(content: bytes) -> None:
    rpc_messages.check(content)


@pytest.mark.slow
@settings(max_examples=2500, deadline=None)
@given(ANY | BROKEN)
def test_many_messages_are_answered_or_refused_with_a_reason(content: bytes) -> None:
    rpc_messages.check(content)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_messages() -> None:
    rng, process = random.Random(1), psutil.Process()  # noqa: S311 - it hides nothing
    seeds = [content for content in rpc_messages.seeds() if content[0] in CALLS and len(content) > 1]
    before_bytes = 0
    for number in range(MANY):
        content = bytearray(rng.choice(seeds))
        content[rng.randrange(1, len(content))] ^= 1 << rng.randrange(8)
        rpc_messages.check(bytes(content))
        if number == WARM:
            before_bytes = process.memory_info().rss
    assert process.memory_info().rss - before_bytes < GROWTH_BYTES
