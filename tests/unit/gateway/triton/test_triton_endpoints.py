"""Several endpoints as one backend: who gets a tile, and what becomes of those that fail, hang or change."""

from __future__ import annotations

import asyncio

import pytest
from fleet import NEW, OLD, Addresses, fleet
from in_process import run, settle

from hndsr_gateway.errors import BackendMismatchError, RevisionChangedError, UnavailableError
from hndsr_gateway.triton import endpoints
from hndsr_gateway.triton.client import TritonBackend
from hndsr_gateway.triton.endpoints import EndpointPool
from hndsr_gateway.types import ModelDescription


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hangs is not waited for."""
    monkeypatch.setattr(endpoints, "SETTLING_S", 0.05)


def revisions(described: list[ModelDescription]) -> list[str]:
    """Of one model, the preferred first."""
    return [model.revision for model in described]


def test_describe_names_a_model_once_when_all_serve_the_same_revision() -> None:
    async def test() -> None:
        async with fleet() as found:
            assert revisions(await found.pool.describe()) == [OLD]

    run(test())


def test_describe_leaves_out_an_endpoint_that_cannot_answer() -> None:
    async def test() -> None:
        async with fleet(described=False) as found:
            found["b"].describe_error = UnavailableError()
            await found.pool.describe()
            assert found.served() == "ac"

    run(test())


def test_describe_raises_when_no_endpoint_can_answer() -> None:
    async def test() -> None:
        async with fleet() as found:
            for endpoint in found.endpoints.values():
                endpoint.describe_error = UnavailableError()
            with pytest.raises(UnavailableError):
                await found.pool.describe()

    run(test())


def test_describe_takes_an_endpoint_back_that_answers_again() -> None:
    async def test() -> None:
        async with fleet() as found:
            found["b"].describe_error = UnavailableError()
            await found.pool.describe()
            found["b"].describe_error = None
            await found.pool.describe()
            assert found.served() == "abc"

    run(test())


def test_describe_does_not_wait_for_an_endpoint_that_hangs() -> None:
    async def test() -> None:
        async with fleet(described=False) as found:
            found["b"].hangs = True
            await found.pool.describe()
            assert found.served() == "ac"

    run(test())


def test_describe_asks_an_endpoint_that_hangs_once() -> None:
    async def test() -> None:
        async with fleet(described=False) as found:
            found["b"].hangs = True
            for _ in range(3):
                await found.pool.describe()
            assert found["b"].descriptions == 1

    run(test())


def test_describe_takes_a_late_answer_when_it_comes() -> None:
    async def test() -> None:
        async with fleet(described=False) as found:
            found["b"].hangs = True
            await found.pool.describe()
            found["b"].answer()
            await settle()
            assert found.served() == "abc"

    run(test())


def test_describe_waits_when_the_only_one_left_hangs() -> None:
    async def test() -> None:
        async with fleet(described=False) as found:
            found["a"].describe_error = found["c"].describe_error = UnavailableError()
            found["b"].hangs = True
            described = asyncio.create_task(found.pool.describe())
            await found["a"].until(lambda: found["a"].descriptions == 3)
            found["b"].answer()
            assert (revisions(await described), found.served()) == ([OLD], "b")

    run(test())


def test_describe_keeps_what_an_endpoint_said_while_its_next_answer_is_on_its_way() -> None:
    async def test() -> None:
        async with fleet() as found:
            found["b"].hangs = True
            await found.pool.describe()
            assert found.served() == "abc"

    run(test())


def test_describe_prefers_the_revision_of_the_most_endpoints() -> None:
    async def test() -> None:
        async with fleet(described=False, b=NEW, c=NEW) as found:
            assert revisions(await found.pool.describe()) == [NEW, OLD]

    run(test())


def test_describe_prefers_the_first_revision_by_name_when_as_many_serve_each() -> None:
    async def test() -> None:
        async with fleet("a:1", "b:1", described=False, a=NEW) as found:
            assert revisions(await found.pool.describe()) == [OLD, NEW]

    run(test())


def test_describe_moves_over_in_a_rolling_update_when_the_majority_has() -> None:
    async def test() -> None:
        seen = []
        async with fleet("a:1", "b:1", "c:1", "d:1", a=NEW, b=NEW, c=NEW, d=NEW) as found:
            for host in "abcd":
                found[host].revision = OLD
                seen.append(revisions(await found.pool.describe()))
        assert seen == [[NEW, OLD], [NEW, OLD], [OLD, NEW], [OLD]]

    run(test())


def test_endpoints_are_those_that_serve_the_revision_in_the_order_of_the_setting() -> None:
    async def test() -> None:
        async with fleet("c:1", "a:1", "b:1", a=NEW) as found:
            assert (found.served(OLD), found.served(NEW)) == ("cb", "a")

    run(test())


def test_endpoints_are_none_for_a_model_that_is_not_served() -> None:
    async def test() -> None:
        async with fleet() as found:
            assert found.pool.endpoints("swin", OLD) == ()

    run(test())


def test_upscale_goes_to_the_endpoint_that_the_tile_names() -> None:
    async def test() -> None:
        async with fleet() as found:
            for _ in range(2):
                await found.upscale(endpoint="b:1")
            assert found.worked() == {"b": ["done", "done"]}

    run(test())


def test_upscale_goes_to_the_least_loaded_endpoint() -> None:
    async def test() -> None:
        async with fleet() as found:
            found["a"].hold()
            found["c"].hold()
            held = [found.upscale(endpoint=endpoint) for endpoint in ("a:1", "a:1", "c:1")]
            await found["c"].started(1)
            await found.upscale()
            assert found.worked()["b"] == ["done"]
            for endpoint in found.endpoints.values():
                endpoint.release()
            await asyncio.gather(*held)

    run(test())


def test_upscale_goes_elsewhere_when_the_named_endpoint_serves_another_revision() -> None:
    async def test() -> None:
        async with fleet("a:1", "b:1", a=NEW) as found:
            await found.upscale(endpoint="a:1")
            assert found.worked() == {"b": ["done"]}

    run(test())


def test_upscale_moves_on_when_an_endpoint_fails() -> None:
    async def test() -> None:
        async with fleet() as found:
            found["b"].tile_errors[0] = UnavailableError()
            await found.upscale(endpoint="b:1")
            assert found.worked() == {"b": ["failed"], "a": ["done"]}

    run(test())


def test_upscale_answers_the_same_bytes_from_another_endpoint() -> None:
    async def test() -> None:
        async with fleet() as found:
            expected = await found.upscale(endpoint="b:1")
            found["b"].tile_errors[1] = UnavailableError()
            moved = await found.upscale(endpoint="b:1")
            assert moved.raster.pixels.tobytes() == expected.raster.pixels.tobytes()

    run(test())


def test_upscale_ejects_an_endpoint_that_fails_until_it_describes_its_models() -> None:
    async def test() -> None:
        seen = []
        async with fleet() as found:
            found["b"].tile_errors[0] = found["b"].describe_error = UnavailableError()
            await found.upscale(endpoint="b:1")
            seen.append(found.served())
            found["b"].describe_error = None
            await found.pool.describe()
            seen.append(found.served())
        assert seen == ["ac", "abc"]

    run(test())


def test_upscale_asks_an_endpoint_that_failed_once_to_describe_its_models_at_once() -> None:
    async def test() -> None:
        async with fleet() as found:
            found["b"].tile_errors[0] = UnavailableError()
            await found.upscale(endpoint="b:1")
            await found["b"].until(lambda: found.served() == "abc")

    run(test())


def test_endpoint_that_cannot_describe_its_models_is_asked_again_until_it_can() -> None:
    async def test() -> None:
        async with fleet() as found:
            found["b"].tile_errors[0] = found["b"].describe_error = UnavailableError()
            await found.upscale(endpoint="b:1")
            await found["b"].until(lambda: found["b"].descriptions == 3)
            found["b"].describe_error = None
            await found["b"].until(lambda: found.served() == "abc")

    run(test())


def test_upscale_logs_an_ejection_once_when_several_tiles_fail(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with fleet() as found:
            found["b"].tile_errors.update({number: UnavailableError() for number in range(3)})
            await asyncio.gather(*(found.upscale(endpoint="b:1") for _ in range(3)))

    run(test())
    assert sum("endpoint b:1 cannot answer" in message for message in caplog.messages) == 1


def test_upscale_tries_every_endpoint_once_when_all_fail() -> None:
    async def test() -> None:
        async with fleet() as found:
            for host in "abc":
                found[host].tile_errors[0] = UnavailableError()
            with pytest.raises(UnavailableError):
                await found.upscale()
            assert found.worked() == {"a": ["failed"], "b": ["failed"], "c": ["failed"]}

    run(test())


def test_upscale_does_not_move_on_to_another_revision() -> None:
    async def test() -> None:
        async with fleet("a:1", "b:1", b=NEW) as found:
            found["a"].tile_errors[0] = UnavailableError()
            with pytest.raises(UnavailableError):
                await found.upscale()
            assert found.worked() == {"a": ["failed"]}

    run(test())


def test_upscale_moves_on_when_an_endpoint_has_changed_its_revision() -> None:
    async def test() -> None:
        async with fleet() as found:
            found["a"].revision = NEW
            await found.upscale()
            assert (found.worked(), found.served()) == ({"a": ["failed"], "b": ["done"]}, "bc")

    run(test())


def test_upscale_asks_an_endpoint_anew_that_has_changed_its_revision() -> None:
    async def test() -> None:
        async with fleet() as found:
            found["a"].revision = NEW
            await found.upscale()
            await found.pool.describe()
            assert (found.served(OLD), found.served(NEW)) == ("bc", "a")

    run(test())


def test_upscale_raises_revision_changed_when_all_have_changed() -> None:
    async def test() -> None:
        async with fleet() as found:
            for endpoint in found.endpoints.values():
                endpoint.revision = NEW
            with pytest.raises(RevisionChangedError):
                await found.upscale()

    run(test())


def test_upscale_raises_revision_changed_when_only_another_is_served() -> None:
    async def test() -> None:
        async with fleet() as found:
            with pytest.raises(RevisionChangedError, match=f"{NEW}' is required, {OLD} is served"):
                await found.upscale(revision=NEW)

    run(test())


def test_upscale_raises_unavailable_when_the_last_that_served_the_revision_fails() -> None:
    async def test() -> None:
        async with fleet("a:1", "b:1") as found:
            found["a"].revision = NEW
            found["b"].tile_errors[0] = UnavailableError()
            with pytest.raises(UnavailableError):
                await found.upscale()

    run(test())


def test_upscale_raises_unavailable_when_nobody_serves_the_model() -> None:
    async def test() -> None:
        async with fleet() as found:
            with pytest.raises(UnavailableError):
                await found.upscale(model="swin")

    run(test())


def test_upscale_does_not_move_on_from_a_mismatch_of_versions() -> None:
    async def test() -> None:
        async with fleet() as found:
            found["a"].tile_errors[0] = BackendMismatchError()
            with pytest.raises(BackendMismatchError):
                await found.upscale()
            assert (found.worked(), found.served()) == ({"a": ["failed"]}, "abc")

    run(test())


def test_upscale_that_is_cancelled_cancels_the_endpoints_call() -> None:
    async def test() -> None:
        async with fleet() as found:
            found["a"].hold()
            call = found.upscale()
            await found["a"].started(1)
            call.cancel()
            await asyncio.wait({call})
            assert (call.cancelled(), found.worked(), found.served()) == (True, {"a": ["cancelled"]}, "abc")

    run(test())


def test_describe_warns_once_of_a_triton_that_stays_away(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        pool = EndpointPool(["127.0.0.1:1"], lambda at: TritonBackend(at, describe_timeout_s=9, tile_timeout_s=9))
        for _ in range(3):
            with pytest.raises(UnavailableError):
                await pool.describe()
        await pool.close()

    run(test())
    assert sum("Triton at 127.0.0.1:1" in message for message in caplog.messages) == 1


def test_close_closes_all_endpoints_also_those_that_work_and_hang() -> None:
    async def test() -> None:
        name = Addresses("a", "b", "c")
        async with fleet("dns:triton:1", lookup=name) as found:
            found["a"].hold()
            call = found.upscale(endpoint="a:1")
            await found["a"].started(1)
            name.found = ["b", "c"]
            found["c"].hangs = True
            await found.pool.describe()
        assert [host for host, endpoint in found.endpoints.items() if not endpoint.closed.is_set()] == []
        call.cancel()
        await asyncio.wait({call})

    run(test())
