"""What callers may still have: rates, target pixels, calls at once."""

from hndsr_gateway.limits.at_once import Kind as Kind
from hndsr_gateway.limits.limits import Limits as Limits
from hndsr_gateway.limits.startup import problems as problems
