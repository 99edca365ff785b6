// Upscale an image file from Node.js with the contract alone: node upscale.mjs HOST:PORT SOURCE DESTINATION [SCALE]
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import { reasonOf } from "./reason.mjs";

const PROTO = fileURLToPath(new URL("../../proto", import.meta.url));
const MAX_MESSAGE_BYTES = 512 * 2 ** 20; // what the server allows unless told otherwise; gRPC's default is 4 MiB

function connect(target) {
  const definition = protoLoader.loadSync("hndsr/v1/upscale.proto", { includeDirs: [PROTO], longs: Number });
  const { UpscaleService } = grpc.loadPackageDefinition(definition).hndsr.v1;
  return new UpscaleService(target, grpc.credentials.createInsecure(), {
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  });
}

async function main(target, source, destination, scale = "4") {
  const service = connect(target);
  const call = (method, request) => promisify(service[method].bind(service))(request);
  try {
    const { models } = await call("GetModelInfo", {});
    for (const model of models)
      console.log(`${model.name}: scales ${model.minScale} to ${model.maxScale}, ${model.engine} on ${model.device}`);
    const encoded = await readFile(source);
    const request = { parameters: { scale }, encoded, outputFormat: "IMAGE_FORMAT_PNG" };
    const { encoded: enlarged, metadata } = await call("Upscale", request);
    await writeFile(destination, enlarged);
    const size = `${metadata.targetWidthPx} x ${metadata.targetHeightPx} px`;
    console.log(`${destination}: ${size} by ${metadata.model} ${metadata.revision.slice(0, 12)}`);
  } finally {
    service.close();
  }
}

try {
  await main(...process.argv.slice(2));
} catch (error) {
  console.error(error.metadata ? `${reasonOf(error)}: ${error.details}` : error.message);
  process.exitCode = 1;
}
