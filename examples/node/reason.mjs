// The stable reason of a refusal, from the google.rpc.Status that comes with the gRPC status.
import grpc from "@grpc/grpc-js";
import protobuf from "protobufjs";

// The fields of google.rpc.Status and its details that are read here.
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; }
`);
const [Status, ErrorInfo] = [root.lookupType("Status"), root.lookupType("ErrorInfo")];

/** The server's reason; the name of the status where the answer is gRPC's own. */
export function reasonOf(error) {
  const [encoded] = error.metadata.get("grpc-status-details-bin");
  const details = encoded ? Status.decode(encoded).details : [];
  const info = details.find((detail) => detail.typeUrl.endsWith("/google.rpc.ErrorInfo"));
  return info ? ErrorInfo.decode(info.value).reason : grpc.status[error.code];
}
