"""Which engine is picked, and what is said where none can be."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hndsr_ensemble import choice
from hndsr_ensemble.choice import EngineChoice, EngineChoiceError, Machine, choose, this_machine

EVERYTHING = frozenset({"onnxruntime", "openvino", "torch"})
GPU = Machine(cuda_devices=1, native_bf16=True, installed=EVERYTHING)
AMX = Machine(cuda_devices=0, native_bf16=True, installed=EVERYTHING)
PLAIN = Machine(cuda_devices=0, native_bf16=False, installed=EVERYTHING)


def machine(*installed: str, cuda_devices: int = 0, native_bf16: bool = True) -> Machine:
    return Machine(cuda_devices, native_bf16, frozenset(installed))


def named(value: object) -> str:
    """The same in every process: a set's order is not."""
    return " ".join(sorted(value.installed)) if isinstance(value, Machine) else str(value)


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        (GPU, EngineChoice("torch", "cuda", "float16")),
        (AMX, EngineChoice("openvino", "cpu", "bfloat16")),
        (PLAIN, EngineChoice("onnxruntime", "cpu", "float32")),
        (machine("onnxruntime", "openvino", cuda_devices=1), EngineChoice("openvino", "cpu", "bfloat16")),
        (machine("onnxruntime"), EngineChoice("onnxruntime", "cpu", "float32")),
        (machine("openvino", native_bf16=False), EngineChoice("openvino", "cpu", "float32")),
        (machine("torch"), EngineChoice("torch", "cpu", "float32")),
    ],
    ids=["gpu", "amx", "plain", "gpu without torch", "onnxruntime alone", "openvino alone", "torch alone"],
)
def test_choice_is_the_fastest_when_all_is_left_to_it(on: Machine, expected: EngineChoice) -> None:
    assert choose("auto", "auto", "auto", on) == expected


@pytest.mark.parametrize(
    ("asked", "on", "expected"),
    [
        (("onnxruntime", "auto", "auto"), GPU, EngineChoice("onnxruntime", "cpu", "float32")),
        (("torch", "cpu", "auto"), GPU, EngineChoice("torch", "cpu", "float32")),
        (("torch", "auto", "auto"), AMX, EngineChoice("torch", "cpu", "float32")),
        (("auto", "cpu", "auto"), GPU, EngineChoice("openvino", "cpu", "bfloat16")),
        (("auto", "cuda", "float16"), GPU, EngineChoice("torch", "cuda", "float16")),
        (("auto", "auto", "float32"), AMX, EngineChoice("openvino", "cpu", "float32")),
        (("openvino", "auto", "auto"), PLAIN, EngineChoice("openvino", "cpu", "float32")),
        (("openvino", "auto", "bfloat16"), PLAIN, EngineChoice("openvino", "cpu", "bfloat16")),
    ],
    ids=named,
)
def test_choice_is_what_was_asked_for(asked: tuple[str, str, str], on: Machine, expected: EngineChoice) -> None:
    assert choose(*asked, on) == expected


@pytest.mark.parametrize(
    ("asked", "on", "said"),
    [
        (("tensorrt", "auto", "auto"), GPU, "tensorrt"),
        (("onnxruntime", "cuda", "auto"), GPU, "onnxruntime on cpu in float32"),
        (("onnxruntime", "auto", "bfloat16"), AMX, "HNDSR_PRECISION"),
        (("openvino", "auto", "auto"), machine("onnxruntime"), r"hndsr\[openvino\]"),
        (("torch", "cuda", "auto"), machine("onnxruntime", cuda_devices=1), r"hndsr\[gpu\]"),
        (("auto", "cuda", "auto"), AMX, "no CUDA device"),
        (("onnxruntime", "auto", "auto"), machine("torch"), "pip install onnxruntime"),
    ],
    ids=named,
)
def test_choice_is_refused_with_the_remedy(asked: tuple[str, str, str], on: Machine, said: str) -> None:
    with pytest.raises(EngineChoiceError, match=said):
        choose(*asked, on)


def test_this_machine_has_the_packages_that_tests_run_on() -> None:
    assert "onnxruntime" in this_machine().installed


@pytest.mark.parametrize(("flags", "native"), [("fpu amx_bf16", True), ("avx512_bf16", True), ("avx512f amx", False)])
def test_bfloat16_is_native_when_the_processor_says_so(
    write_cpu_info: Callable[[str], None], *, flags: str, native: bool
) -> None:
    write_cpu_info(f"flags : {flags}\n")
    assert choice._native_bf16() is native


def test_bfloat16_is_not_native_when_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(choice, "CPU_INFO", tmp_path / "none")
    assert not choice._native_bf16()


@pytest.fixture
def write_cpu_info(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(choice, "CPU_INFO", path)
    return path.write_text
