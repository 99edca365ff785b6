"""ONNX files for the three networks, whose weights stay in the safetensors files beside them.

Every `model.onnx` is a small graph written operator by operator; its weights are external data that point into
`weights.safetensors` of the same folder, so no weight is stored twice. Only operators of the standard domain appear,
and the same weights give the same bytes.
"""

from hndsr_ensemble.export.command import EXPORTS, Export, export_model
from hndsr_ensemble.export.parity import TOLERANCE, ParityError

__all__ = ["EXPORTS", "TOLERANCE", "Export", "ParityError", "export_model"]
