#!/usr/bin/env bash
# Upscale an image file with buf and Python's standard library: upscale.sh HOST:PORT SOURCE DESTINATION [SCALE]
# No .proto file is needed: the server describes itself by reflection. Images travel as base64 in JSON, so small ones.
set -euo pipefail
target=$1 source=$2 destination=$3 scale=${4:-4}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

call() { # METHOD REQUEST: the response on stdout, a refusal on stderr, both as JSON
  buf curl --protocol grpc --http2-prior-knowledge --data "$2" "http://$target/hndsr.v1.UpscaleService/$1"
}

call GetModelInfo '{}' >"$folder/info.json"
python3 -c '
import json, sys
for model in json.load(sys.stdin)["models"]:
    print("{name}: scales {minScale} to {maxScale}, {engine} on {device}".format(**model))
' <"$folder/info.json"

base64 <"$source" | tr -d '\n' >"$folder/encoded"
printf '{"parameters": {"scale": "%s"}, "encoded": "%s", "outputFormat": "IMAGE_FORMAT_PNG"}' \
  "$scale" "$(<"$folder/encoded")" >"$folder/request.json"

if ! call Upscale "@$folder/request.json" >"$folder/response.json" 2>"$folder/error.json"; then
  # The reason is the first field of the ErrorInfo: a tag, a length, and that many letters.
  python3 -c '
import base64, json, sys
error = json.load(sys.stdin)
values = [detail["value"] for detail in error.get("details", []) if detail["type"] == "google.rpc.ErrorInfo"]
info = base64.b64decode(values[0] + "==") if values else b""
sys.exit("{}: {}".format(info[2 : 2 + info[1]].decode() if info else error["code"], error["message"]))
' <"$folder/error.json"
fi

python3 -c '
import base64, json, sys
response = json.load(sys.stdin)
with open(sys.argv[1], "wb") as file:
    file.write(base64.b64decode(response["encoded"]))
done = response["metadata"]
size = "{targetWidthPx} x {targetHeightPx} px".format(**done)
print("{}: {} by {} {}".format(sys.argv[1], size, done["model"], done["revision"][:12]))
' "$destination" <"$folder/response.json"
