"""The gRPC gateway in front of Triton."""
