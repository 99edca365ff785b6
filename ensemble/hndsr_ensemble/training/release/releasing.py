"""From a run to an installed release, or to the reasons why there is none."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from hndsr_ensemble.choice import this_machine
from hndsr_ensemble.evaluation.methods import Diffusion, Method, Prior
from hndsr_ensemble.evaluation.metrics import Rgb
from hndsr_ensemble.evaluation.models import repository_model
from hndsr_ensemble.evaluation.tables import Table, measure_set
from hndsr_ensemble.evaluation.truths import Truth
from hndsr_ensemble.manifest import model_repository
from hndsr_ensemble.release import CARD, SEEN, write_record
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.release.candidate import (
    ALLOWED_ELSEWHERE,
    ELSEWHERE,
    Arithmetic,
    build_candidate,
    check_askable,
    differences_elsewhere,
    name_of,
    write_provenance,
)
from hndsr_ensemble.training.release.card import COLUMNS, SEED, Evidence, Origin, card, figures
from hndsr_ensemble.training.release.gate import (
    CANDIDATE_DIFFUSION,
    CANDIDATE_PRIOR,
    CURRENT_DIFFUSION,
    CURRENT_PRIOR,
    Comparison,
    judge,
)
from hndsr_ensemble.training.release.installing import check_writable, finish, install, kept_to_itself
from hndsr_ensemble.training.release.runs import Run, read_run
from hndsr_ensemble.training.release.sets import Declared, read_set
from hndsr_ensemble.training.release.verification import verify
from hndsr_ensemble.training.seen import write_seen

SCALES: Final = (Scale(2, 1), Scale(22, 7), Scale(4, 1), Scale(8, 1))
"""At which every release is judged."""
STEPS: Final = 4

Say = Callable[[str], None]
"""Told what is under way."""


class NoSetError(TrainingError):
    """There is nothing to judge by, and what nobody looked at is not released."""

    def __init__(self) -> None:
        super().__init__("declare at least one set of images to judge by")


class InstallationFailedError(TrainingError):
    """A release passed, and could not be written."""

    def __init__(self, *, repository: Path, reason: str) -> None:
        super().__init__(
            f"the release passed, but could not be written into {repository}: {reason}; run `hndsr-train verify` there"
        )


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be released, judged on what, and where it goes."""

    run: Path
    sets: Sequence[Declared]
    into: Path
    """A model repository, or a folder that does not exist yet and becomes one."""
    data: str
    """What was trained on, in words, and under which licence that is."""
    licence: str
    """Of the weights."""
    engine: str = "onnxruntime"
    """What runs both models while they are compared, as HNDSR_ENGINE."""
    scales: tuple[Scale, ...] = SCALES
    elsewhere: tuple[Arithmetic, ...] = ELSEWHERE
    """In which the candidate has to pass its own probe."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order: installed if there is no reason against it."""

    comparisons: tuple[Comparison, ...]
    reasons: tuple[str, ...]
    """Why it was refused."""
    digest: str
    """Of the candidate's manifest."""
    unknown: str
    """Why the weights may have seen images that are judged on, although none of them is known to be; else empty."""


@dataclass(frozen=True, slots=True)
class Titled:
    """A method under another name: one row of a table for each model."""

    name: str
    method: Method

    def __call__(self, lr: Rgb, scale: Scale, seed: int) -> Rgb:
        """Restore an image."""
        return self.method(lr, scale, seed)


def release(order: Order, *, say: Say) -> Outcome:
    """Build the candidate, judge it, and install it if it is worse nowhere.

    All that can be refused without computing is looked at first.

    Raises:
        TrainingError: the order cannot be carried out; nothing was installed.
    """
    if not order.sets:
        raise NoSetError
    run = read_run(order.run)
    check_askable(order.elsewhere, this_machine())
    check_writable(order.into)
    with kept_to_itself(order.into):
        if order.into.exists() and finish(order.into):
            say(f"finished the installation into {order.into} that was interrupted")
        images = {one.name: read_set(one, order.scales, seen=run.seen.images) for one in order.sets}
        with tempfile.TemporaryDirectory(prefix="hndsr-release-") as folder:
            return _release(order, run, images, candidate=Path(folder) / "repository", say=say)


def compare_models(
    candidate: Path,
    current: Path,
    images: Mapping[str, Sequence[Truth]],
    *,
    engine: str,
    scales: Sequence[Scale],
    say: Say,
) -> dict[str, list[Table]]:
    """Measure both repositories' models and bicubic on all sets, one table for each scale."""
    methods = []
    for repository, prior, diffusion in (
        (candidate, CANDIDATE_PRIOR, CANDIDATE_DIFFUSION),
        (current, CURRENT_PRIOR, CURRENT_DIFFUSION),
    ):
        model = repository_model(repository, engine=engine)
        methods += [Titled(prior, Prior(model)), Titled(diffusion, Diffusion(model, STEPS))]
    measures = frozenset(entry.name for entry in COLUMNS)
    tables = dict[str, list[Table]]()
    for name, truths in images.items():
        for scale in scales:
            say(f"measuring {name} at ×{scale}: {len(truths)} images")
            table = measure_set(truths, methods, scale=scale, seed=SEED, measures=measures)
            tables.setdefault(name, []).append(table)
    return tables


def _release(order: Order, run: Run, images: Mapping[str, Sequence[Truth]], *, candidate: Path, say: Say) -> Outcome:
    current = order.into if order.into.exists() else model_repository()
    say("exporting the networks and asking them for probe and golden file")
    digest = build_candidate(run.weights, current, candidate).digest
    say("asking other arithmetics for the probe")
    elsewhere = differences_elsewhere(candidate, order.elsewhere)
    if reasons := _reasons_elsewhere(elsewhere):
        return Outcome((), reasons, digest, run.seen.gap)
    tables = compare_models(candidate, current, images, engine=order.engine, scales=order.scales, say=say)
    comparisons = tuple(judge(tables))
    reasons = tuple(str(comparison) for comparison in comparisons if comparison.is_worse)
    if not reasons:
        write_seen(candidate / SEEN, run.seen)
        unasked = tuple(name_of(one) for one in ELSEWHERE if name_of(one) not in elsewhere)
        _document(candidate, Evidence(_origin(order, run), tables, comparisons, elsewhere, unasked))
        reasons = tuple(str(check) for check in verify(candidate) if check.fault)
    if not reasons:
        with _told_when_it_fails(order.into):
            install(candidate, order.into)
    return Outcome(comparisons, reasons, digest, run.seen.gap)


def _reasons_elsewhere(differences: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(
        f"in the arithmetic of {name} the probe is {difference:.3g} grey levels off, {ALLOWED_ELSEWHERE:.3g} are "
        "allowed: machines that serve in it would refuse the model"
        for name, difference in differences.items()
        if difference > ALLOWED_ELSEWHERE
    )


def _document(candidate: Path, evidence: Evidence) -> None:
    facts = {**evidence.origin.facts(), "figures": figures(evidence.tables)}
    manifest = write_provenance(candidate, facts)
    (candidate / CARD).write_text(card(manifest, evidence), encoding="utf-8")
    write_record(candidate)


def _origin(order: Order, run: Run) -> Origin:
    return Origin(
        data=order.data,
        data_digest=run.data.digest,
        images=run.images,
        degradation=run.degradation,
        scales=run.scales,
        config_digest=run.config_digest,
        licence=order.licence,
        released=datetime.now(timezone.utc).date().isoformat(),
        started_from=run.started_from,
        seen=len(run.seen.images),
        unknown=run.seen.gap,
    )


@contextmanager
def _told_when_it_fails(repository: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InstallationFailedError(repository=repository, reason=error.strerror or str(error)) from error
