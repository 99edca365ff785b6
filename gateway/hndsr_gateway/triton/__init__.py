"""Triton: its client, and the embedded server that the gateway can start."""
