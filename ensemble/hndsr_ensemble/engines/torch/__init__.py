"""The torch engine: a whole tile on the device, so that only samples of 8 or 16 bits cross the bus.

`network` runs one network between NumPy arrays, as every engine does. The rest runs tiles: `source` cuts windows from
a tile's source, `windows` takes them through FNO (`priors`), DDIM (`diffusion`) and decoder, `grid` quantises and
blends them, `seams` keeps those that tiles share, `tiling` puts it together, `tiler` makes it ready to serve. On a GPU
the networks are compiled where that works, and replayed as CUDA graphs (`captured`); on the CPU the same code runs
plainly.
"""

from hndsr_ensemble.engines.torch.network import TorchEngine
from hndsr_ensemble.engines.torch.tiler import LoadedTorch, load_torch_tiler
from hndsr_ensemble.engines.torch.tiling import TorchTiler
from hndsr_ensemble.engines.torch.windows import TorchWindows

__all__ = ["LoadedTorch", "TorchEngine", "TorchTiler", "TorchWindows", "load_torch_tiler"]
