"""A run is released if it is worse nowhere, and only then is anything written."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from unit.training.release.conftest import MakeRun

from hndsr_ensemble.choice import Machine
from hndsr_ensemble.evaluation.unseen import SeenImageError
from hndsr_ensemble.manifest import MANIFEST, VERSION_FOLDER, file_digest, read_manifest
from hndsr_ensemble.networks import FNO, UNet, load_weights, save_weights
from hndsr_ensemble.release import CARD, RECORD, RELEASED, TRAINED
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.release.candidate import (
    ELSEWHERE,
    UnaskedArithmeticError,
    UnusableWeightsError,
    check_askable,
)
from hndsr_ensemble.training.release.command import add_parser
from hndsr_ensemble.training.release.gate import SmallSetError
from hndsr_ensemble.training.release.installing import RepositoryNotWritableError
from hndsr_ensemble.training.release.releasing import NoSetError, Order, Outcome, release
from hndsr_ensemble.training.release.sets import Declared
from hndsr_ensemble.training.release.verification import verify
from hndsr_ensemble.training.seen import SEEN, Seen, read_seen, write_seen

DATA = "0.3 m aerial orthophotos (public domain)"
Released = tuple[Outcome, Path]


def order(run: Path, images: Path, into: Path, **changes: object) -> Order:
    """At one scale, and in no arithmetic of other machines, which takes long to imitate."""
    facts = {"data": DATA, "licence": "MIT", "engine": "auto", "scales": (Scale(8, 1),), "elsewhere": (), **changes}
    return Order(run, [Declared("town", images)], into, **facts)


def digests(repository: Path) -> dict[str, str]:
    return {str(path.relative_to(repository)): file_digest(path) for path in repository.rglob("*") if path.is_file()}


def spoil(path: Path, network: FNO | UNet, spread: float) -> None:
    """Add noise to every weight of a network, relative to its own spread."""
    load_weights(network, path)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(spread * weight.std(unbiased=False) * torch.randn(weight.shape, generator=generator))
    save_weights(network, path)


@pytest.fixture
def released(make_run: MakeRun, copied: Path, scenes: Path) -> Released:
    """The weights that are there, released once more."""
    run = make_run()
    write_seen(run / SEEN, Seen(frozenset({"a" * 64})))
    return release(order(run, scenes, copied), say=lambda _: None), copied


def test_release_installs_equal_weights_whole_and_documented(released: Released) -> None:
    outcome, repository = released
    assert outcome.reasons == ()
    assert [one.difference for one in outcome.comparisons][1:] == [0, 0, 0, 0]
    assert outcome.unknown == ""
    assert [str(check) for check in verify(repository) if check.fault] == []
    manifest = repository / TRAINED / VERSION_FOLDER / MANIFEST
    provenance = json.loads(manifest.read_text())["provenance"]
    assert {"data": DATA, "licence": "MIT", "scales_trained": "1.7 to 8"}.items() <= provenance.items()
    assert provenance["figures"].keys() == {"town, x8, 9 images"}
    assert read_manifest(repository, TRAINED).digest in (repository / CARD).read_text()
    assert all((repository / name).is_file() for name in (*RELEASED, RECORD))
    assert read_seen(repository) == Seen(frozenset({"a" * 64}))


@pytest.mark.slow
@pytest.mark.parametrize("spoilt", [("fno", FNO, "PSNR"), ("unet", UNet, "patch distance")], ids=["fno", "unet"])
def test_release_refuses_spoilt_weights_and_writes_nothing(
    make_run: MakeRun,
    copied: Path,
    scenes: Path,
    capsys: pytest.CaptureFixture[str],
    spoilt: tuple[str, Callable[[], FNO | UNet], str],
) -> None:
    file, network, figure = spoilt
    run, before = make_run(), digests(copied)
    spoil(run / "weights" / f"{file}.safetensors", network(), spread=0.2)
    parser = ArgumentParser()
    add_parser(parser.add_subparsers())
    sets = ["--set", f"town={scenes}"]
    parsed = parser.parse_args(["release", str(run), *sets, "--into", str(copied), "--data", DATA])
    assert parsed.run(parsed) == 3
    assert digests(copied) == before
    reasons = [line for line in capsys.readouterr().err.splitlines() if line.startswith("refused: ")]
    assert any(figure in reason and "on town at ×" in reason for reason in reasons)


def silence(unet: UNet) -> None:
    """Have it draw nothing: the prior is left as it is."""
    unet.residual_std.zero_()


def forget(unet: UNet) -> None:
    """Have it know nothing: what is drawn is noise."""
    unet.out.weight.zero_()
    unet.out.bias.zero_()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil_unet", "figures"),
    [(silence, {"spectrum"}), (forget, {"consistency", "patch"})],
    ids=["draws nothing", "draws noise"],
)
def test_release_refuses_a_diffusion_that_draws_nothing_or_noise_by_name(
    make_run: MakeRun, copied: Path, scenes: Path, spoil_unet: Callable[[UNet], None], figures: set[str]
) -> None:
    run = make_run()
    network = load_weights(UNet(), run / "weights/unet.safetensors")
    with torch.no_grad():
        spoil_unet(network)
    save_weights(network, run / "weights/unet.safetensors")
    outcome = release(order(run, scenes, copied, scales=(Scale(4, 1),)), say=lambda _: None)
    assert figures <= {reason.split()[0] for reason in outcome.reasons}


@pytest.mark.slow
def test_release_refuses_weights_that_other_arithmetics_would_not_serve(
    make_run: MakeRun, copied: Path, scenes: Path
) -> None:
    run, before = make_run(), digests(copied)
    network = load_weights(UNet(), run / "weights/unet.safetensors")
    network.residual_std *= 8
    save_weights(network, run / "weights/unet.safetensors")
    arithmetic = {"HNDSR_ENGINE": "torch", "HNDSR_DEVICE": "cpu", "HNDSR_PRECISION": "bfloat16"}
    outcome = release(order(run, scenes, copied, elsewhere=(arithmetic,)), say=lambda _: None)
    assert outcome.reasons[0].startswith("in the arithmetic of torch cpu bfloat16")
    assert digests(copied) == before


def refused(wanted: Order, error: type[TrainingError]) -> None:
    """Check that an order is refused without a trace."""
    before = digests(wanted.into)
    with pytest.raises(error):
        release(wanted, say=lambda _: None)
    assert digests(wanted.into) == before


def test_release_refuses_to_judge_by_nothing(make_run: MakeRun, copied: Path, scenes: Path) -> None:
    refused(replace(order(make_run(), scenes, copied), sets=[]), NoSetError)


def test_release_refuses_a_set_that_is_too_small(make_run: MakeRun, copied: Path, flat_image: Path) -> None:
    refused(order(make_run(), flat_image, copied), SmallSetError)


def test_release_refuses_a_set_that_was_trained_on(make_run: MakeRun, copied: Path, scenes: Path) -> None:
    refused(order(make_run([scenes / "town1.png"]), scenes, copied), SeenImageError)


@pytest.mark.parametrize(
    ("machine", "remedy"),
    [
        (Machine(0, native_bf16=True, installed=frozenset({"torch"})), "hndsr\\[openvino\\]"),
        (Machine(0, native_bf16=False, installed=frozenset({"torch", "openvino"})), "AMX"),
    ],
    ids=["not installed", "no bfloat16"],
)
def test_release_asks_every_arithmetic_or_says_what_is_missing(machine: Machine, remedy: str) -> None:
    with pytest.raises(UnaskedArithmeticError, match=f"openvino cpu bfloat16.*{remedy}.*--without-openvino"):
        check_askable(ELSEWHERE, machine)


def test_release_asks_what_a_machine_has() -> None:
    check_askable(ELSEWHERE, Machine(0, native_bf16=True, installed=frozenset({"torch", "openvino"})))
    check_askable(ELSEWHERE[:2], Machine(0, native_bf16=False, installed=frozenset({"torch"})))


def test_release_refuses_weights_of_another_network(make_run: MakeRun, copied: Path, scenes: Path) -> None:
    run = make_run()
    (run / "weights/fno.safetensors").write_bytes((run / "weights/unet.safetensors").read_bytes())
    refused(order(run, scenes, copied), UnusableWeightsError)


def test_release_refuses_weights_that_are_no_numbers(make_run: MakeRun, copied: Path, scenes: Path) -> None:
    run = make_run()
    network = load_weights(FNO(), run / "weights/fno.safetensors")
    with torch.no_grad():
        network.out.bias[0] = torch.nan
    save_weights(network, run / "weights/fno.safetensors")
    refused(order(run, scenes, copied), UnusableWeightsError)


def test_release_refuses_a_place_that_takes_no_files_before_it_computes(make_run: MakeRun, scenes: Path) -> None:
    with pytest.raises(RepositoryNotWritableError):
        release(order(make_run(), scenes, Path("/proc/repository")), say=lambda _: None)
