"""The science of HNDSR: geometry, tiling, noise, engines and networks, without Triton or gRPC."""

import os
import sys

# onnxruntime 1.29 and newer sends usage data home from Linux, too, and decides when it is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# OpenVINO's tools would report their use by this package; without it they do without.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
