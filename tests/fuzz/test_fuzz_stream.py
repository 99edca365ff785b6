"""A stream as a state machine: whatever its caller does, the gateway answers as the contract says."""

from __future__ import annotations

import pytest
import stream_protocol
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from stream_protocol import STEPS

FATAL = "SsHXWCYZLMPEG"
"""Steps that end a stream that was started."""


class Caller(RuleBasedStateMachine):
    """Somebody who sends what the contract allows, and at last something that ends the stream."""

    @initialize(impatient=st.booleans())
    def open(self, *, impatient: bool) -> None:
        """To a gateway that waits long for its callers, or hardly."""
        self.stream = stream_protocol.begun(impatient=impatient)

    @precondition(lambda self: not self.stream.started and not self.stream.ended)
    @rule()
    def start(self) -> None:
        """As it should be."""
        self._play("S")

    @precondition(lambda self: self.stream.started and not self.stream.ended)
    @rule(number=st.integers(0, 8), step=st.sampled_from("TTTtttFR"))
    def go_on(self, number: int, step: str) -> None:
        """With a tile, a strip, a tile that fails, or by reading what is due."""
        self.stream.choose(number)
        self._play(step)

    @rule(step=st.sampled_from(FATAL))
    def end(self, step: str) -> None:
        """In order or not; nothing is sent in a stream that has ended."""
        self._play(step)

    def teardown(self) -> None:
        """Go, and leave nothing behind."""
        if hasattr(self, "stream"):
            self.stream.__exit__(None)

    def _play(self, step: str) -> None:
        self.stream.play(STEPS[ord(step)])


@pytest.mark.parametrize("examples", [25, pytest.param(400, marks=pytest.mark.slow)])
def test_stream_is_answered_as_the_contract_says(examples: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Caller,
        settings=settings(max_examples=examples, stateful_step_count=20, deadline=None, suppress_health_check=checks),
    )
