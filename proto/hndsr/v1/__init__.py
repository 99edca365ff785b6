"""The contract `hndsr.v1`: messages in `upscale_pb2`, service stubs in `upscale_pb2_grpc`."""
