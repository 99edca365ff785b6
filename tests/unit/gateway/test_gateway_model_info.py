"""GetModelInfo says what is served, and within which limits."""

from __future__ import annotations

from importlib.metadata import version

from fakes import FakeBackend, bicubic_manifest
from in_process import run, running

from hndsr.v1 import upscale_pb2 as pb


def model_info(backend: FakeBackend | None = None, **settings: object) -> pb.GetModelInfoResponse:
    """The answer of a gateway of its own."""
    answers = []

    async def test() -> None:
        async with running(backend or FakeBackend(), **settings) as client:
            answers.append(await client.upscale.GetModelInfo(pb.GetModelInfoRequest()))

    run(test())
    return answers[0]


def test_model_info_lists_all_models() -> None:
    assert [model.name for model in model_info().models] == ["hndsr", "bicubic"]


def test_model_info_describes_a_model_as_its_manifest_does() -> None:
    model, manifest = model_info().models[1], bicubic_manifest()
    assert (model.description, model.generative) == (manifest.description, manifest.generative)


def test_model_info_says_which_scales_a_model_supports() -> None:
    model = model_info().models[1]
    assert (model.min_scale, model.max_scale) == ("1.5", "8")


def test_model_info_says_which_windows_a_model_sees() -> None:
    model = model_info().models[1]
    assert (model.window_px, model.stride_px) == (256, 224)


def test_model_info_says_what_runs_a_model() -> None:
    model = model_info(FakeBackend(revision="revision-2")).models[1]
    assert (model.revision, model.engine, model.device) == ("revision-2", "numpy", "cpu")


def test_model_info_says_which_options_are_the_defaults() -> None:
    options = model_info().models[0].default_options
    assert (options.steps, options.texture, options.seed) == (4, 1.0, 0)


def test_model_info_says_which_options_the_operator_chose() -> None:
    options = model_info(default_steps=7, default_texture=0.5).models[0].default_options
    assert (options.steps, options.texture, options.seed) == (7, 0.5, 0)


def test_model_info_has_no_options_for_a_model_that_draws_nothing_whatever_the_operator_chose() -> None:
    options = model_info(default_steps=7, default_texture=0.5).models[1].default_options
    assert (options.steps, options.texture, options.seed) == (0, 0.0, 0)


def test_model_info_names_the_default_model() -> None:
    assert model_info(default_model="bicubic").default_model == "bicubic"


def test_model_info_names_the_only_model_as_default_when_the_default_is_not_served() -> None:
    assert model_info(FakeBackend(models=("bicubic",))).default_model == "bicubic"


def test_model_info_says_the_limits_that_are_set() -> None:
    limits = model_info(max_source_px=11, max_target_px=12, max_message_bytes=2**20).limits
    assert (limits.max_source_px, limits.max_target_px, limits.max_message_bytes) == (11, 12, 2**20)


def test_model_info_says_the_limits_of_options() -> None:
    limits = model_info().limits
    assert (limits.max_steps, limits.max_texture) == (100, 1.5)


def test_model_info_says_the_gateways_version() -> None:
    assert model_info().gateway_version == version("hndsr")
