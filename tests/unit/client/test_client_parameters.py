"""What the user writes is what is sent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import ArgumentError, Client, UnavailableError
from hndsr_client._core.checks import MAX_TIMEOUT_S
from hndsr_client._core.parameters import build_parameters, scale_text
from hndsr_client.testing import FakeServer
from hndsr_client.testing._servicer import REVISION, NearestServicer

IMAGE = np.zeros((2, 2, 3), np.uint8)


@pytest.mark.parametrize(
    ("scale", "text"),
    [
        (4, "4"),
        (3.14, "3.14"),
        (4.0, "4.0"),
        (1e-7, "0.0000001"),
        (1e22, "10000000000000000000000"),
        ("22/7", "22/7"),
        (" 4 ", " 4 "),
        (Fraction(22, 7), "22/7"),
        (Fraction(4), "4"),
        (Decimal("3.140"), "3.140"),
        (Decimal("1E+1"), "10"),
        (np.float32(3.14), "3.14"),
        (np.float64(3.14), "3.14"),
        (np.int64(4), "4"),
    ],
)
def test_scale_text_is_what_was_written(scale: object, text: str) -> None:
    assert scale_text(scale) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_scale_text_of_a_float_reads_back_as_itself(scale: float) -> None:
    assert float(scale_text(scale)) == scale


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_scale_text_of_a_float_is_a_plain_decimal(scale: float) -> None:
    assert set(scale_text(scale)) <= set("-.0123456789")


@given(st.fractions())
def test_scale_text_of_a_fraction_is_exact(scale: Fraction) -> None:
    assert Fraction(scale_text(scale)) == scale


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_scale_text_of_a_decimal_is_exact(scale: Decimal) -> None:
    assert Decimal(scale_text(scale)) == scale


@pytest.mark.parametrize(
    "scale",
    [float("nan"), float("inf"), np.float32("inf"), Decimal("NaN"), Decimal("Infinity"), True, None, [4], 4j, "", " "],
)
def test_scale_text_refuses_what_is_no_finite_number(scale: object) -> None:
    with pytest.raises(ArgumentError, match="scale is"):
        scale_text(scale)


def parameters_of(**changes: object) -> object:
    unset = dict.fromkeys(("steps", "texture", "seed", "model", "value_ranges", "required_revision"))
    return build_parameters(**{"scale": 4, **unset, **changes})


@pytest.mark.parametrize("option", ["steps", "texture", "seed"])
def test_build_parameters_leaves_options_unset(option: str) -> None:
    assert not parameters_of().options.HasField(option)


@pytest.mark.parametrize("option", ["steps", "texture", "seed"])
def test_build_parameters_sends_zeros(option: str) -> None:
    assert parameters_of(**{option: 0}).options.HasField(option)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": -1},
        {"steps": 2.5},
        {"steps": 2**32},
        {"seed": -1},
        {"seed": 2**64},
        {"seed": "1"},
        {"texture": "much"},
        {"model": 7},
        {"model": "\udc80"},
        {"required_revision": b"\xff"},
        {"scale": "\udc80"},
        {"value_ranges": [(0, 1, 2)]},
        {"value_ranges": [0, 255]},
        {"value_ranges": [("low", "high")]},
        {"value_ranges": 5},
        {"value_ranges": np.array(5)},
        {"value_ranges": np.array([0, 3000])},
        {"value_ranges": np.zeros((3, 3))},
        {"value_ranges": np.zeros((3, 2, 2))},
    ],
    ids=str,
)
def test_build_parameters_refuses_what_no_message_can_carry(change: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match="accepted is"):
        parameters_of(**change)


def test_upscale_sends_every_parameter(client: Client, service: NearestServicer) -> None:
    client.upscale(
        IMAGE.astype(np.uint16),
        scale=3.14,
        steps=np.int64(8),
        texture=0.5,
        seed=2**64 - 1,
        model="nearest",
        value_ranges=[(0, 3000)] * 3,
        required_revision=REVISION,
    )
    sent = service.requests[0].parameters
    assert sent == parameters_of(
        scale="3.14",
        steps=8,
        texture=0.5,
        seed=2**64 - 1,
        model="nearest",
        value_ranges=[(0.0, 3000.0)] * 3,
        required_revision=REVISION,
    )


@pytest.mark.parametrize("size", [(-1, 5), (5, -1), (2.5, 5), (2**32, 5)])
def test_plan_refuses_sizes_no_message_can_carry(client: Client, size: tuple[int, int]) -> None:
    with pytest.raises(ArgumentError, match="accepted is an integer, 1 or more"):
        client.plan(*size)


@pytest.mark.parametrize("dtype", ["i4", "u2", "f4", "f8"])
def test_build_parameters_takes_value_ranges_as_an_array(dtype: str) -> None:
    ranges = np.array([[0, 3000]] * 3, dtype)
    assert parameters_of(value_ranges=ranges) == parameters_of(value_ranges=[(0, 3000)] * 3)


@pytest.mark.parametrize("sample_type", ["uint8", "uint16"])
def test_plan_sends_the_sample_type(client: Client, service: NearestServicer, sample_type: str) -> None:
    client.plan(5, 7, sample_type=sample_type)
    assert pb.SampleType.Name(service.requests[0].sample_type) == f"SAMPLE_TYPE_{sample_type.upper()}"


@pytest.mark.parametrize("sample_type", ["float32", "", 1, np.uint8, ["uint8"]])
def test_plan_refuses_other_sample_types(client: Client, sample_type: object) -> None:
    with pytest.raises(ArgumentError, match="accepted is 'uint8' or 'uint16'"):
        client.plan(5, 7, sample_type=sample_type)


def test_plan_sends_the_cores_per_tile(client: Client, service: NearestServicer) -> None:
    client.plan(5, 7, cores_per_tile=16)
    assert service.requests[0].cores_per_tile == 16


@pytest.mark.parametrize("cores_per_tile", [-1, 2.5, "3"])
def test_plan_refuses_cores_no_message_can_carry(client: Client, cores_per_tile: object) -> None:
    with pytest.raises(ArgumentError, match="cores_per_tile is"):
        client.plan(5, 7, cores_per_tile=cores_per_tile)


def test_plan_leaves_sample_type_and_cores_to_the_server(client: Client, service: NearestServicer) -> None:
    client.plan(5, 7)
    assert (service.requests[0].sample_type, service.requests[0].cores_per_tile) == (0, 0)


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan"), "5", True, np.ones(2), 1e10, 1e300, 10**400])
def test_client_refuses_timeouts_that_are_no_spans(timeout_s: object) -> None:
    with pytest.raises(ArgumentError, match="accepted is a number above 0, at most 100,000,000"):
        Client("127.0.0.1:1", timeout_s=timeout_s)


@pytest.mark.parametrize("timeout_s", ["5", 1e10])
def test_call_refuses_timeouts_that_are_no_spans(client: Client, timeout_s: object) -> None:
    with pytest.raises(ArgumentError, match="timeout_s is"):
        client.info(timeout_s=timeout_s)


@pytest.mark.parametrize("timeout_s", [30, np.int64(30), np.float32(30), MAX_TIMEOUT_S])
def test_call_takes_timeouts_of_every_kind_of_number(client: Client, timeout_s: float) -> None:
    assert client.info(timeout_s=timeout_s).default_model == "nearest"


@pytest.mark.parametrize("target", ["", " ", None, 50051, b"127.0.0.1:50051", "\udcff:50051"])
def test_client_refuses_targets_that_are_no_address(target: object) -> None:
    with pytest.raises(ArgumentError, match=r"the target is .*, accepted is HOST:PORT"):
        Client(target)


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:99999", "127.0.0.1:65536", "127.0.0.1:0", "hndsr:-1", "hndsr:", ":50051", "[::1]:70000", f"a:{10**30}"],
)
def test_client_refuses_ports_that_do_not_exist(target: str) -> None:
    with pytest.raises(ArgumentError, match="accepted is HOST:PORT with a port from 1 to 65535"):
        Client(target)


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:65535", "[::1]:1", "hndsr", "unix:7", "unix:/run/hndsr", "dns:///hndsr:50051", "ipv6:[::1]:50051"],
)
def test_client_leaves_names_to_grpc(target: str) -> None:
    Client(target).close()


@pytest.mark.parametrize("target", ["http://127.0.0.1:50051", "https://hndsr.example"])
def test_client_refuses_urls(target: str) -> None:
    with pytest.raises(ArgumentError, match="accepted is HOST:PORT"):
        Client(target)


def test_client_refuses_calls_when_closed(client: Client) -> None:
    client.close()
    with pytest.raises(ArgumentError, match="the client is closed"):
        client.info()


def test_client_close_ends_the_call_of_another_thread(
    client: Client, server: FakeServer, service: NearestServicer
) -> None:
    server.delay_next(600)
    with ThreadPoolExecutor() as threads:
        call = threads.submit(client.info)
        assert service.received.wait(20)
        client.close()
        assert isinstance(call.exception(), UnavailableError)
