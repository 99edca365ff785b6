"""The tiles of a plan, numbered row by row."""

from __future__ import annotations

from hndsr_client._stream.windows import Window
from hndsr_client.errors import AnswerError
from hndsr_client.results import Plan, Span


class Tiles:
    """Where each tile is read and written.

    Attributes:
        plan: The plan that has them.
        count: How many there are.
    """

    def __init__(self, plan: Plan) -> None:
        """Take a plan that cuts its image as the contract says.

        Raises:
            AnswerError: It does not.
        """
        _check_axis(plan.row_spans, source_px=plan.source_height_px, target_px=plan.target_height_px)
        _check_axis(plan.column_spans, source_px=plan.source_width_px, target_px=plan.target_width_px)
        self.plan = plan
        self.count = len(plan.row_spans) * len(plan.column_spans)

    def number(self, row: int, column: int) -> int:
        """The tile at a place of the plan.

        Raises:
            AnswerError: The plan has no such place.
        """
        if row >= len(self.plan.row_spans) or column >= len(self.plan.column_spans):
            raise AnswerError(f"the server answered tile {row}, {column}, which the plan does not have")
        return row * len(self.plan.column_spans) + column

    def place(self, number: int) -> tuple[int, int]:
        """Row and column of a tile in the plan."""
        return divmod(number, len(self.plan.column_spans))

    def source(self, number: int) -> Window:
        """What a tile needs of the source."""
        rows, columns = self._spans(number)
        return slice(rows.source_start_px, rows.source_stop_px), slice(columns.source_start_px, columns.source_stop_px)

    def target(self, number: int) -> Window:
        """What a tile yields of the target."""
        rows, columns = self._spans(number)
        return slice(rows.target_start_px, rows.target_stop_px), slice(columns.target_start_px, columns.target_stop_px)

    def target_px(self, number: int) -> int:
        """How many pixels a tile yields."""
        rows, columns = self.target(number)
        return (rows.stop - rows.start) * (columns.stop - columns.start)

    @property
    def edges_px(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Where the tiles begin and end in the target, down and across."""
        rows, columns = (
            (0, *(one.target_stop_px for one in spans)) for spans in (self.plan.row_spans, self.plan.column_spans)
        )
        return rows, columns

    def _spans(self, number: int) -> tuple[Span, Span]:
        row, column = self.place(number)
        return self.plan.row_spans[row], self.plan.column_spans[column]


def _check_axis(spans: tuple[Span, ...], *, source_px: int, target_px: int) -> None:
    reached_px = 0
    for span in spans:
        if span.target_start_px != reached_px or span.target_stop_px <= reached_px:
            raise AnswerError("the server's plan does not cut the target into tiles")
        if not 0 <= span.source_start_px < span.source_stop_px <= source_px:
            raise AnswerError("the server's plan asks for pixels that the source does not have")
        reached_px = span.target_stop_px
    if reached_px != target_px:
        raise AnswerError("the server's plan does not cover the target")
