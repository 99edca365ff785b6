"""The gateway's settings: one frozen object, read from `HNDSR_…` once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from hndsr_ensemble.manifest import model_repository
from hndsr_gateway.errors import StartupError

ENVIRONMENT_PREFIX = "HNDSR_"
PORT = "(0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
ADDRESS = rf"^(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):{PORT}$"
ENDPOINT = rf"((dns:)?(\[[0-9a-fA-F:.]+\]|[^\s,:\[\]]+):{PORT}|unix:/[A-Za-z0-9_.:/@+-]{{1,106}})"
FOREIGN_NAMES = frozenset({"HNDSR_TARGET", "HNDSR_API_KEY", "HNDSR_SITE_PACKAGES"})
"""Variables of the clients and of the models' processes."""


SERVICE_LINK = re.compile(r"HNDSR_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")
"""What Kubernetes puts into the environment of pods beside a Service named `hndsr` or `hndsr-…`."""


class UnknownSettingError(StartupError):
    """A variable looks like a setting but is none."""

    def __init__(self, *, names: list[str]) -> None:
        super().__init__(f"unknown settings: {', '.join(names)}; `hndsr-gateway --help` and docs/settings.md list all")


class Settings(BaseSettings):
    """Defaults run on a laptop. Each field is the variable `HNDSR_` plus its name in upper case."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_ignore_empty=True,
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    listen: str = Field(default="127.0.0.1:50051", pattern=ADDRESS)
    """Address of the gRPC service, `HOST:PORT`; port 0 picks a free one."""

    tls_certificate: str = ""
    """PEM file of the server's certificate and those that vouch for it, read again when it changes. Empty: no TLS,
    which only the loopback address allows."""

    tls_key: str = ""
    """PEM file of the certificate's private key, not encrypted."""

    tls_client_ca: str = ""
    """PEM file of who may vouch for callers: connections without such a certificate are refused. Empty: none is
    asked for."""

    api_keys: str = ""
    """File of the keys that callers may have, as `hndsr-gateway keys` writes it; read again when it changes. Empty:
    none."""

    jwt_issuer: str = ""
    """Who signs the tokens that callers may have: the claim `iss`, an OpenID provider's address. Empty: none."""

    jwt_audience: str = ""
    """The claim `aud` that tokens must have."""

    jwt_keys: str = ""
    """The issuer's keys, a JWKS file or its address. Empty: where the issuer's OpenID configuration says."""

    insecure: str = Field(default="", pattern=r"^(plaintext|anonymous|plaintext, *anonymous|anonymous, *plaintext)?$")
    """What is allowed at other addresses than the loopback one, comma-separated: `plaintext`, no TLS, and `anonymous`,
    callers that need not say who they are. For networks where something else sees to it."""

    reflection: bool = True
    """Whether tools may ask for the contract (gRPC server reflection)."""

    redis_url: str = ""
    """Redis that keeps what callers have had, for several gateways together: `redis://HOST:PORT/0`, or `rediss://`.
    Empty: this process keeps it."""

    requests_per_minute: int = Field(default=0, ge=0)
    """Calls of one caller in a minute, where its key says nothing else. 0: no limit."""

    target_px_per_hour: int = Field(default=0, ge=0)
    """Target pixels of one caller in an hour, where its key says nothing else. 0: no limit."""

    calls_per_caller: int = Field(default=0, ge=0)
    """Unary calls of one caller at once, where its key says nothing else. 0: no limit."""

    streams_per_caller: int = Field(default=0, ge=0)
    """Streams of one caller at once, where its key says nothing else. 0: no limit."""

    address_requests_per_minute: int = Field(default=0, ge=0)
    """Calls from one address (of IPv6: one /64) in a minute, whoever makes them. 0: no limit, as behind a proxy."""

    triton_endpoints: str = Field(default="", pattern=f"^$|^{ENDPOINT}( *, *{ENDPOINT})*$")
    """Tritons, comma-separated: `HOST:PORT`, `dns:HOST:PORT` for all behind a name, or `unix:PATH` of a socket, which
    `tritonserver --grpc-address=unix:/DIR/NAME` makes as `/DIR/NAME:8001`. Empty: one is embedded."""

    models: str = ""
    """Window models that the embedded Triton loads, comma-separated. Empty: all."""

    default_model: str = "hndsr"
    """Model of requests that name none."""

    model_repository: str = ""
    """Folder of the models that the embedded Triton serves. Empty: the ones that are installed with the gateway."""

    default_steps: int | None = Field(default=None, ge=0, le=100)
    """Diffusion steps of requests that name none, 0 to 100. Empty: the model's own default."""

    default_texture: float | None = Field(default=None, ge=0, le=1.5)
    """Texture of requests that name none, 0 to 1.5. Empty: the model's own default."""

    engine: Literal["auto", "onnxruntime", "openvino", "torch"] = "auto"
    """What runs the embedded Triton's networks: `onnxruntime`, `openvino`, `torch`, or `auto`: torch where there is a
    GPU, else openvino where the processor multiplies bfloat16 natively, else onnxruntime."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the embedded Triton's networks: `auto`, `cpu` or `cuda`."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic of the embedded Triton's convolutions: `float32`, `bfloat16`, `float16`, or `auto`: the engine's
    fastest that costs at most 0.02 dB at default steps. Weights are stored in 16 bits either way."""

    networks: Literal["fused", "ensemble"] = "fused"
    """Where the embedded Triton runs the networks: `fused`, in the tiling model's own process, or `ensemble`, as
    Triton's ensemble of models with a process each."""

    cpu_threads: int = Field(default=0, ge=0, le=1024)
    """Cores that the networks may use in the embedded Triton. 0: all."""

    instances_per_gpu: int = Field(default=2, ge=1, le=8)
    """Processes of the tiling model on each GPU of the embedded Triton; while one copies, the other computes."""

    window_batch: int = Field(default=0, ge=0, le=1024)
    """Windows of one pass on a GPU. 0: the engine's choice. Part of the revision."""

    window_cache_mib: int = Field(default=256, ge=0, le=2**20)
    """Size of the embedded Triton's window cache, in MiB: 5 windows of 8 bits in each; a row of a scene should fit."""

    max_source_px: int = Field(default=32_000_000, ge=1, le=2**44)
    """Largest source image of a unary call, in pixels."""

    max_target_px: int = Field(default=64_000_000, ge=1, le=2**44)
    """Largest target image of a unary call, in pixels."""

    max_message_bytes: int = Field(default=512 * 2**20, ge=2**20, lt=2**31)
    """Largest gRPC message, in bytes; streams need 3 MiB. Each call may hold one before anything of it is checked."""

    max_metadata_bytes: int = Field(default=16 * 2**10, ge=2**10, le=2**20)
    """Largest metadata of a call, in bytes."""

    receive_timeout_s: float = Field(default=120.0, gt=0)
    """Longest time that a unary call's message may take to come in, in seconds."""

    max_connection_age_s: float = Field(default=0.0, ge=0)
    """When a connection is closed once its calls are done, in seconds: its client then looks for a gateway anew. 0:
    never."""

    max_concurrent_requests: int = Field(default=8, ge=1, le=1024)
    """Images that are worked on at once. Each may hold its message, source, target and answer."""

    max_queue_depth: int = Field(default=128, ge=0, le=2**16)
    """Requests that may wait for their turn beside those that are worked on; more are refused as OVERLOADED."""

    max_queue_bytes: int = Field(default=2**30, ge=0, le=2**44)
    """Bytes that waiting requests may hold together; more are refused as OVERLOADED."""

    image_workers: int = Field(default=2, ge=1, le=64)
    """Processes that read and write image files, of 80 MiB each; more than there are cores gain nothing."""

    image_timeout_s: float = Field(default=10.0, gt=0)
    """Longest time that reading an image file may take, in seconds."""

    image_memory_mib: int = Field(default=1024, ge=256, le=2**20)
    """Memory that reading or writing an image file may take, in MiB, beside its pixels."""

    max_inflight_tiles: int = Field(default=0, ge=0, le=1024)
    """Tiles in each Triton at once: as many as the model `hndsr` has instances. 0: as many as the embedded Triton is
    started with, 1 for others."""

    shared_memory: Literal["auto", "off"] = "auto"
    """How tiles travel to Tritons on this host: `auto`, through /dev/shm where both see the same one, or `off`, by
    gRPC."""

    processes: int = Field(default=1, ge=1, le=64)
    """Processes that serve the address together; a connection stays with one. Limits are for all of them together."""

    tile_time_s: float = Field(default=0.125, gt=0, le=1e9)
    """Device time that a tile of a unary call is sized to, in seconds, where HNDSR_CORES_PER_TILE does not say; eight
    times that where a call comes alone."""

    stream_tile_time_s: float = Field(default=1.0, gt=0, le=1e9)
    """The same for tiles of streams and plans, whose caller may say. A small request waits for one tile at most."""

    cores_per_tile: int = Field(default=0, ge=0, le=16)
    """Cores (224 px for `hndsr`) along each side of a tile, 1 to 16. 0: by the speed of the device."""

    max_streams: int = Field(default=16, ge=1, le=1024)
    """Streams that may be open at once; more are refused as OVERLOADED."""

    stream_tiles: int = Field(default=4, ge=1, le=1024)
    """Tiles of one stream in the gateway at once: received, waiting, worked on, and sent."""

    stream_bytes: int = Field(default=256 * 2**20, ge=2**20, le=2**44)
    """Bytes that the tiles of one stream may hold, source and target; copies on their way to Triton and to the caller
    may take as many again. Tiles are made smaller to fit."""

    max_stream_bytes: int = Field(default=2**30, ge=2**20, le=2**44)
    """Bytes that the tiles of all streams may hold; a stream that finds none left is refused as OVERLOADED."""

    stream_stall_s: float = Field(default=60.0, gt=0)
    """How long a stream's caller may not read, or send nothing while it has no tile here, in seconds."""

    max_stream_s: float = Field(default=86400.0, gt=0)
    """How long a stream may go on, in seconds; then it is told to go on in another one, and finishes whole tiles."""

    stream_progress_s: float = Field(default=5.0, gt=0, le=10)
    """How long a stream says nothing before it tells its progress, in seconds."""

    fallback: Literal["auto", "off"] = "auto"
    """What becomes of a unary call that allows a lesser answer where its model gives none: `auto`, the model's prior
    alone, or bicubic interpolation, or `off`, the error."""

    tile_timeout_s: float = Field(default=300.0, gt=0)
    """Longest time that one tile may take in Triton, its wait there included, in seconds."""

    request_timeout_s: float = Field(default=3600.0, gt=0)
    """Longest time that a unary call may take, in seconds, whatever the caller allows."""

    startup_timeout_s: float = Field(default=300.0, gt=0)
    """Longest time from start to the passed probe, in seconds."""

    health_interval_s: float = Field(default=5.0, gt=0)
    """Time between checks of Triton, in seconds."""

    health_timeout_s: float = Field(default=120.0, gt=0)
    """How long a check may wait behind tiles in Triton before it counts as failed, in seconds."""

    drain_grace_s: float = Field(default=10.0, ge=0)
    """How long requests in progress may go on after SIGTERM, in seconds."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level that is logged: DEBUG, INFO, WARNING or ERROR. SIGUSR1 has a running gateway log DEBUG, SIGUSR2
    this again."""

    log_format: Literal["auto", "text", "json"] = "auto"
    """How log lines are written: `text`, `json`, one object a line, or `auto`: text on a terminal, else json."""

    metrics_listen: str = Field(default="", pattern=f"^$|{ADDRESS}")
    """Address of the metrics for Prometheus, as `127.0.0.1:9464`, at `/metrics`; of several processes each has a port,
    counted up from this one. Empty: none. What goes by OTLP is set by the variables `OTEL_…`."""

    triton_metrics_port: int = Field(default=0, ge=0, le=65535)
    """Port of the embedded Triton's own metrics, on the loopback address. 0: a free one."""

    @property
    def repository(self) -> Path:
        """`model_repository`, the installed one where that is empty."""
        return Path(self.model_repository) if self.model_repository else model_repository()

    @property
    def tiles_at_once(self) -> int:
        """`max_inflight_tiles`, 1 where that is left open."""
        return self.max_inflight_tiles or 1

    @property
    def allowed_insecure(self) -> frozenset[str]:
        """`insecure` as a set."""
        return frozenset(name.strip() for name in self.insecure.split(",") if name.strip())

    @property
    def model_names(self) -> tuple[str, ...]:
        """`models` as a list."""
        return tuple(name.strip() for name in self.models.split(",") if name.strip())

    @property
    def triton_addresses(self) -> tuple[str, ...]:
        """`triton_endpoints` as a list."""
        return tuple(address.strip() for address in self.triton_endpoints.split(",") if address.strip())


def refuse_unknown(environment: Mapping[str, str]) -> None:
    """Refuse misspelt settings, which pydantic would ignore.

    Raises:
        UnknownSettingError: naming all of them.
    """
    known = FOREIGN_NAMES | {ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields}
    looking_alike = (name for name in environment if name.startswith(ENVIRONMENT_PREFIX) and name not in known)
    unknown = sorted(name for name in looking_alike if not SERVICE_LINK.fullmatch(name))
    if unknown:
        raise UnknownSettingError(names=unknown)
