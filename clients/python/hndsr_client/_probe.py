"""Whether a service answers, and answers the right bytes: a tiny image is upscaled and compared."""

from __future__ import annotations

import base64
import random
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hndsr_client._exit_codes import OK, WRONG_ANSWER, exit_code
from hndsr_client._messages import error_message
from hndsr_client._report import error_facts, short
from hndsr_client.client import Client
from hndsr_client.errors import (
    AccessError,
    AnswerError,
    DeadlineError,
    HndsrError,
    InvalidRequestError,
    OverloadedError,
    PreconditionError,
    ServiceError,
    UnavailableError,
)

BICUBIC = "bicubic"
SIDE_PX, SCALE = 16, 2
# Bands one after the other. No sample is nearer than 0.05 to where rounding turns, so it is the same on every machine.
_GOLDEN = (
    "c-rmLAqay&7=~fNy1Ke3m^28hMyr@sjn>6g<LaW-Bvzw!V9+EiTCLW>ZNnWyalFD9jN#M1`{1~{pHtM;dZQUz+i`b(us?*yQxvCJey%P}+g*jS^h>|="
    "|Jwr<tiT#<fCdb(1vYSi3wFQ<0oa2B2*DAYKm=ltf(+!~3@UH|4QN3Ju0Vk2H@AvD7S=HTN^h2ZEX`q-y<YdR)`wYG52o%Vby*Z;op`$W%F=jU<~uRH"
    "ugr>=K9|h0AKy#nxjpUw_Iz|ddLMe<ne$oZ|JnS%*53e=)cQ;"
)
HEALTHY, WRONG, OVER_QUOTA = "healthy", "wrong_answer", "over_quota"
# The nearest ancestor wins.
OUTCOMES: dict[type[BaseException], str] = {
    HndsrError: "failed",
    AnswerError: WRONG,
    InvalidRequestError: "refused",
    AccessError: "refused",
    PreconditionError: "refused",
    UnavailableError: "unavailable",
    OverloadedError: "overloaded",
    DeadlineError: "timeout",
}


@dataclass(frozen=True)
class Verdict:
    """What came of one probe."""

    target: str
    model: str
    outcome: str
    """`healthy`, `wrong_answer`, `overloaded`, `over_quota`, `unavailable`, `timeout`, `refused`, or `failed`."""
    message: str
    exit_code: int
    duration_s: float
    revision: str | None
    error: Mapping[str, str | float | None] | None

    @property
    def is_healthy(self) -> bool:
        """Whether all was as it must be."""
        return self.outcome == HEALTHY


def pattern() -> npt.NDArray[np.uint8]:
    """What is upscaled: a ramp across, a ramp down, a chessboard."""
    down, across = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    chessboard = np.where((across // 4 + down // 4) % 2, 255, 0)
    return np.stack([17 * across, 17 * down, chessboard], axis=2).astype(np.uint8)


def golden() -> npt.NDArray[np.uint8]:
    """What the model bicubic makes of it."""
    side_px = SIDE_PX * SCALE
    planes = np.frombuffer(zlib.decompress(base64.b85decode(_GOLDEN)), np.uint8).reshape(3, side_px, side_px)
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def probe(connect: Callable[[], Client], *, target: str, model: str, timeout_s: float) -> Verdict:
    """Ask once, by a connection of its own and without trying again.

    Args:
        connect: Makes the client.
        target: What the service is called in the verdict.
        model: Bicubic is compared with what it must be, others with themselves: alone, streamed, and described.
        timeout_s: Seconds that all of it may take.
    """
    began_s = time.monotonic()
    revision: str | None = None
    try:
        with connect() as client:
            revision = _check(client, model, _Clock(began_s + timeout_s, timeout_s))
    except HndsrError as error:
        outcome = _outcome(error)
        code = WRONG_ANSWER if outcome == WRONG else exit_code(error)
        message, facts = error_message(error), error_facts(error)
        return Verdict(target, model, outcome, message, code, time.monotonic() - began_s, None, facts)
    elapsed_s = time.monotonic() - began_s
    message = f"{model} {short(revision)} answered the right bytes in {elapsed_s:.2f} s"
    return Verdict(target, model, HEALTHY, message, OK, elapsed_s, revision, None)


def _outcome(error: HndsrError) -> str:
    if isinstance(error, ServiceError) and error.reason == "QUOTA_EXCEEDED":
        return OVER_QUOTA
    return next(OUTCOMES[cls] for cls in type(error).__mro__ if cls in OUTCOMES)


class _Clock:
    """The time that is left for the calls of a probe."""

    def __init__(self, deadline_s: float, timeout_s: float) -> None:
        self._deadline_s, self._timeout_s = deadline_s, timeout_s

    def left_s(self) -> float:
        """Seconds that the next call may take.

        Raises:
            DeadlineError: None is left.
        """
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            message = f"the answers did not come within {self._timeout_s:g} s"
            raise DeadlineError(message, reason="DEADLINE_EXCEEDED", code="DEADLINE_EXCEEDED")
        return left_s


def _check(client: Client, model: str, clock: _Clock) -> str:
    """The revision that answered.

    Raises:
        HndsrError: It was not, or not what it must be.
    """
    if model != BICUBIC:
        try:
            return _check_consistent(client, model, clock)
        except _RevisionsDifferError:  # so it is amid a rollout, but not for long
            return _check_consistent(client, model, clock)
    answer = client.upscale(pattern(), model=model, scale=SCALE, timeout_s=clock.left_s())
    _compare("what bicubic must answer", golden(), answer.image)
    return answer.metadata.revision


class _RevisionsDifferError(AnswerError):
    """The service describes one revision and answers by another."""


def _check_consistent(client: Client, model: str, clock: _Clock) -> str:
    # Noise that nobody has asked for before, so that no cache answers.
    parameters: dict[str, Any] = {"model": model, "scale": SCALE, "seed": random.getrandbits(32)}
    answer = client.upscale(pattern(), timeout_s=clock.left_s(), **parameters)
    streamed = client.upscale_array(pattern(), patience_s=0, timeout_s=clock.left_s(), **parameters)
    described = client.info(timeout_s=clock.left_s())
    revisions = {
        "answered": answer.metadata.revision,
        "streamed": streamed.plan.revision,
        "described": next((one.revision for one in described.models if one.name == model), ""),
    }
    if len(set(revisions.values())) > 1:
        told = ", ".join(f"{how} {short(revision) or 'nothing'}" for how, revision in revisions.items())
        raise _RevisionsDifferError(f"{model} is of several revisions at once: {told}")
    _compare(f"what {model} answers to a single call", answer.image, streamed.image)
    return answer.metadata.revision


def _compare(name: str, wanted: npt.NDArray[Any], got: npt.NDArray[Any] | None) -> None:
    if got is None or (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
        raise AnswerError("the answer has another size or sample type than was asked for")
    apart = np.abs(got.astype(np.int64) - wanted)
    if apart.any():
        count, most = np.count_nonzero(apart), apart.max()
        raise AnswerError(f"{count:,} of {wanted.size:,} samples are not {name}, by up to {most}")
