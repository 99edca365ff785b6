"""The gRPC gateway in front of Triton."""

import os

# gRPC reads it once, when it is imported, and writes a line of its own for every failed TLS handshake of any stranger.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
