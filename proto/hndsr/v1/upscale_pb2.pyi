from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SampleType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SAMPLE_TYPE_UNSPECIFIED: _ClassVar[SampleType]
    SAMPLE_TYPE_UINT8: _ClassVar[SampleType]
    SAMPLE_TYPE_UINT16: _ClassVar[SampleType]

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_INTERACTIVE: _ClassVar[Priority]
    PRIORITY_BATCH: _ClassVar[Priority]

class ImageFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMAGE_FORMAT_UNSPECIFIED: _ClassVar[ImageFormat]
    IMAGE_FORMAT_PNG: _ClassVar[ImageFormat]
    IMAGE_FORMAT_RAW: _ClassVar[ImageFormat]
    IMAGE_FORMAT_JPEG: _ClassVar[ImageFormat]
    IMAGE_FORMAT_WEBP: _ClassVar[ImageFormat]
    IMAGE_FORMAT_TIFF: _ClassVar[ImageFormat]
SAMPLE_TYPE_UNSPECIFIED: SampleType
SAMPLE_TYPE_UINT8: SampleType
SAMPLE_TYPE_UINT16: SampleType
PRIORITY_UNSPECIFIED: Priority
PRIORITY_INTERACTIVE: Priority
PRIORITY_BATCH: Priority
IMAGE_FORMAT_UNSPECIFIED: ImageFormat
IMAGE_FORMAT_PNG: ImageFormat
IMAGE_FORMAT_RAW: ImageFormat
IMAGE_FORMAT_JPEG: ImageFormat
IMAGE_FORMAT_WEBP: ImageFormat
IMAGE_FORMAT_TIFF: ImageFormat

class EncodingOptions(_message.Message):
    __slots__ = ("quality", "lossless")
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    LOSSLESS_FIELD_NUMBER: _ClassVar[int]
    quality: int
    lossless: bool
    def __init__(self, quality: _Optional[int] = ..., lossless: bool = ...) -> None: ...

class RawImage(_message.Message):
    __slots__ = ("height_px", "width_px", "sample_type", "pixels", "mask")
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_TYPE_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    height_px: int
    width_px: int
    sample_type: SampleType
    pixels: bytes
    mask: bytes
    def __init__(self, height_px: _Optional[int] = ..., width_px: _Optional[int] = ..., sample_type: _Optional[_Union[SampleType, str]] = ..., pixels: _Optional[bytes] = ..., mask: _Optional[bytes] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("encoded", "raw")
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    encoded: bytes
    raw: RawImage
    def __init__(self, encoded: _Optional[bytes] = ..., raw: _Optional[_Union[RawImage, _Mapping]] = ...) -> None: ...

class ValueRange(_message.Message):
    __slots__ = ("minimum", "maximum")
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    minimum: float
    maximum: float
    def __init__(self, minimum: _Optional[float] = ..., maximum: _Optional[float] = ...) -> None: ...

class UpscaleOptions(_message.Message):
    __slots__ = ("steps", "texture", "seed")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TEXTURE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    steps: int
    texture: float
    seed: int
    def __init__(self, steps: _Optional[int] = ..., texture: _Optional[float] = ..., seed: _Optional[int] = ...) -> None: ...

class UpscaleParameters(_message.Message):
    __slots__ = ("model", "scale", "options", "value_ranges", "required_revision")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    VALUE_RANGES_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_REVISION_FIELD_NUMBER: _ClassVar[int]
    model: str
    scale: str
    options: UpscaleOptions
    value_ranges: _containers.RepeatedCompositeFieldContainer[ValueRange]
    required_revision: str
    def __init__(self, model: _Optional[str] = ..., scale: _Optional[str] = ..., options: _Optional[_Union[UpscaleOptions, _Mapping]] = ..., value_ranges: _Optional[_Iterable[_Union[ValueRange, _Mapping]]] = ..., required_revision: _Optional[str] = ...) -> None: ...

class GetModelInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetModelInfoResponse(_message.Message):
    __slots__ = ("models", "default_model", "limits", "gateway_version")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MODEL_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_VERSION_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[ModelInfo]
    default_model: str
    limits: Limits
    gateway_version: str
    def __init__(self, models: _Optional[_Iterable[_Union[ModelInfo, _Mapping]]] = ..., default_model: _Optional[str] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., gateway_version: _Optional[str] = ...) -> None: ...

class ModelInfo(_message.Message):
    __slots__ = ("name", "description", "revision", "min_scale", "max_scale", "default_options", "generative", "engine", "device", "window_px", "stride_px", "default_scale")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    MIN_SCALE_FIELD_NUMBER: _ClassVar[int]
    MAX_SCALE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    GENERATIVE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_PX_FIELD_NUMBER: _ClassVar[int]
    STRIDE_PX_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_SCALE_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    revision: str
    min_scale: str
    max_scale: str
    default_options: UpscaleOptions
    generative: bool
    engine: str
    device: str
    window_px: int
    stride_px: int
    default_scale: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., revision: _Optional[str] = ..., min_scale: _Optional[str] = ..., max_scale: _Optional[str] = ..., default_options: _Optional[_Union[UpscaleOptions, _Mapping]] = ..., generative: bool = ..., engine: _Optional[str] = ..., device: _Optional[str] = ..., window_px: _Optional[int] = ..., stride_px: _Optional[int] = ..., default_scale: _Optional[str] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_source_px", "max_target_px", "max_message_bytes", "max_steps", "max_texture", "formats", "max_concurrent_requests", "max_queue_depth", "max_streams")
    MAX_SOURCE_PX_FIELD_NUMBER: _ClassVar[int]
    MAX_TARGET_PX_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    MAX_TEXTURE_FIELD_NUMBER: _ClassVar[int]
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENT_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    MAX_QUEUE_DEPTH_FIELD_NUMBER: _ClassVar[int]
    MAX_STREAMS_FIELD_NUMBER: _ClassVar[int]
    max_source_px: int
    max_target_px: int
    max_message_bytes: int
    max_steps: int
    max_texture: float
    formats: _containers.RepeatedScalarFieldContainer[ImageFormat]
    max_concurrent_requests: int
    max_queue_depth: int
    max_streams: int
    def __init__(self, max_source_px: _Optional[int] = ..., max_target_px: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_steps: _Optional[int] = ..., max_texture: _Optional[float] = ..., formats: _Optional[_Iterable[_Union[ImageFormat, str]]] = ..., max_concurrent_requests: _Optional[int] = ..., max_queue_depth: _Optional[int] = ..., max_streams: _Optional[int] = ...) -> None: ...

class PlanUpscaleRequest(_message.Message):
    __slots__ = ("source_height_px", "source_width_px", "parameters", "sample_type", "cores_per_tile")
    SOURCE_HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    SOURCE_WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_TYPE_FIELD_NUMBER: _ClassVar[int]
    CORES_PER_TILE_FIELD_NUMBER: _ClassVar[int]
    source_height_px: int
    source_width_px: int
    parameters: UpscaleParameters
    sample_type: SampleType
    cores_per_tile: int
    def __init__(self, source_height_px: _Optional[int] = ..., source_width_px: _Optional[int] = ..., parameters: _Optional[_Union[UpscaleParameters, _Mapping]] = ..., sample_type: _Optional[_Union[SampleType, str]] = ..., cores_per_tile: _Optional[int] = ...) -> None: ...

class PlanUpscaleResponse(_message.Message):
    __slots__ = ("plan", "windows", "estimated_time")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_TIME_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    windows: int
    estimated_time: _duration_pb2.Duration
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ..., windows: _Optional[int] = ..., estimated_time: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("source_height_px", "source_width_px", "target_height_px", "target_width_px", "scale_numerator", "scale_denominator", "model", "revision", "row_spans", "column_spans", "digest", "cores_per_tile", "options")
    SOURCE_HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    SOURCE_WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    TARGET_HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    TARGET_WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    SCALE_NUMERATOR_FIELD_NUMBER: _ClassVar[int]
    SCALE_DENOMINATOR_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ROW_SPANS_FIELD_NUMBER: _ClassVar[int]
    COLUMN_SPANS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CORES_PER_TILE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    source_height_px: int
    source_width_px: int
    target_height_px: int
    target_width_px: int
    scale_numerator: int
    scale_denominator: int
    model: str
    revision: str
    row_spans: _containers.RepeatedCompositeFieldContainer[Span]
    column_spans: _containers.RepeatedCompositeFieldContainer[Span]
    digest: str
    cores_per_tile: int
    options: UpscaleOptions
    def __init__(self, source_height_px: _Optional[int] = ..., source_width_px: _Optional[int] = ..., target_height_px: _Optional[int] = ..., target_width_px: _Optional[int] = ..., scale_numerator: _Optional[int] = ..., scale_denominator: _Optional[int] = ..., model: _Optional[str] = ..., revision: _Optional[str] = ..., row_spans: _Optional[_Iterable[_Union[Span, _Mapping]]] = ..., column_spans: _Optional[_Iterable[_Union[Span, _Mapping]]] = ..., digest: _Optional[str] = ..., cores_per_tile: _Optional[int] = ..., options: _Optional[_Union[UpscaleOptions, _Mapping]] = ...) -> None: ...

class Span(_message.Message):
    __slots__ = ("core_start", "core_stop", "source_start_px", "source_stop_px", "target_start_px", "target_stop_px")
    CORE_START_FIELD_NUMBER: _ClassVar[int]
    CORE_STOP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_START_PX_FIELD_NUMBER: _ClassVar[int]
    SOURCE_STOP_PX_FIELD_NUMBER: _ClassVar[int]
    TARGET_START_PX_FIELD_NUMBER: _ClassVar[int]
    TARGET_STOP_PX_FIELD_NUMBER: _ClassVar[int]
    core_start: int
    core_stop: int
    source_start_px: int
    source_stop_px: int
    target_start_px: int
    target_stop_px: int
    def __init__(self, core_start: _Optional[int] = ..., core_stop: _Optional[int] = ..., source_start_px: _Optional[int] = ..., source_stop_px: _Optional[int] = ..., target_start_px: _Optional[int] = ..., target_stop_px: _Optional[int] = ...) -> None: ...

class UpscaleStreamRequest(_message.Message):
    __slots__ = ("start", "strip")
    START_FIELD_NUMBER: _ClassVar[int]
    STRIP_FIELD_NUMBER: _ClassVar[int]
    start: StreamStart
    strip: SourceStrip
    def __init__(self, start: _Optional[_Union[StreamStart, _Mapping]] = ..., strip: _Optional[_Union[SourceStrip, _Mapping]] = ...) -> None: ...

class StreamStart(_message.Message):
    __slots__ = ("source_height_px", "source_width_px", "sample_type", "parameters", "cores_per_tile", "required_digest", "priority")
    SOURCE_HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    SOURCE_WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_TYPE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    CORES_PER_TILE_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    source_height_px: int
    source_width_px: int
    sample_type: SampleType
    parameters: UpscaleParameters
    cores_per_tile: int
    required_digest: str
    priority: Priority
    def __init__(self, source_height_px: _Optional[int] = ..., source_width_px: _Optional[int] = ..., sample_type: _Optional[_Union[SampleType, str]] = ..., parameters: _Optional[_Union[UpscaleParameters, _Mapping]] = ..., cores_per_tile: _Optional[int] = ..., required_digest: _Optional[str] = ..., priority: _Optional[_Union[Priority, str]] = ...) -> None: ...

class SourceStrip(_message.Message):
    __slots__ = ("row", "column", "y_px", "pixels", "mask", "checksum", "last")
    ROW_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    Y_PX_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    row: int
    column: int
    y_px: int
    pixels: bytes
    mask: bytes
    checksum: int
    last: bool
    def __init__(self, row: _Optional[int] = ..., column: _Optional[int] = ..., y_px: _Optional[int] = ..., pixels: _Optional[bytes] = ..., mask: _Optional[bytes] = ..., checksum: _Optional[int] = ..., last: bool = ...) -> None: ...

class UpscaleStreamResponse(_message.Message):
    __slots__ = ("plan", "strip", "tile_error", "progress", "draining", "summary")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    STRIP_FIELD_NUMBER: _ClassVar[int]
    TILE_ERROR_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    plan: StreamPlan
    strip: TargetStrip
    tile_error: TileError
    progress: StreamProgress
    draining: Draining
    summary: StreamSummary
    def __init__(self, plan: _Optional[_Union[StreamPlan, _Mapping]] = ..., strip: _Optional[_Union[TargetStrip, _Mapping]] = ..., tile_error: _Optional[_Union[TileError, _Mapping]] = ..., progress: _Optional[_Union[StreamProgress, _Mapping]] = ..., draining: _Optional[_Union[Draining, _Mapping]] = ..., summary: _Optional[_Union[StreamSummary, _Mapping]] = ...) -> None: ...

class StreamPlan(_message.Message):
    __slots__ = ("plan", "windows", "estimated_time", "max_in_flight")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_TIME_FIELD_NUMBER: _ClassVar[int]
    MAX_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    windows: int
    estimated_time: _duration_pb2.Duration
    max_in_flight: int
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ..., windows: _Optional[int] = ..., estimated_time: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., max_in_flight: _Optional[int] = ...) -> None: ...

class TargetStrip(_message.Message):
    __slots__ = ("row", "column", "y_px", "pixels", "mask", "checksum", "last")
    ROW_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    Y_PX_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    row: int
    column: int
    y_px: int
    pixels: bytes
    mask: bytes
    checksum: int
    last: bool
    def __init__(self, row: _Optional[int] = ..., column: _Optional[int] = ..., y_px: _Optional[int] = ..., pixels: _Optional[bytes] = ..., mask: _Optional[bytes] = ..., checksum: _Optional[int] = ..., last: bool = ...) -> None: ...

class TileError(_message.Message):
    __slots__ = ("row", "column", "reason", "message", "retry_delay")
    ROW_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    row: int
    column: int
    reason: str
    message: str
    retry_delay: _duration_pb2.Duration
    def __init__(self, row: _Optional[int] = ..., column: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., retry_delay: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StreamProgress(_message.Message):
    __slots__ = ("tiles_done", "tiles_waiting", "target_px_done")
    TILES_DONE_FIELD_NUMBER: _ClassVar[int]
    TILES_WAITING_FIELD_NUMBER: _ClassVar[int]
    TARGET_PX_DONE_FIELD_NUMBER: _ClassVar[int]
    tiles_done: int
    tiles_waiting: int
    target_px_done: int
    def __init__(self, tiles_done: _Optional[int] = ..., tiles_waiting: _Optional[int] = ..., target_px_done: _Optional[int] = ...) -> None: ...

class Draining(_message.Message):
    __slots__ = ("resume_after",)
    RESUME_AFTER_FIELD_NUMBER: _ClassVar[int]
    resume_after: _duration_pb2.Duration
    def __init__(self, resume_after: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StreamSummary(_message.Message):
    __slots__ = ("tiles", "failed_tiles", "cache_hits", "empty_windows", "computed_windows", "out_of_range_samples", "elapsed", "engine", "device")
    TILES_FIELD_NUMBER: _ClassVar[int]
    FAILED_TILES_FIELD_NUMBER: _ClassVar[int]
    CACHE_HITS_FIELD_NUMBER: _ClassVar[int]
    EMPTY_WINDOWS_FIELD_NUMBER: _ClassVar[int]
    COMPUTED_WINDOWS_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_RANGE_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    tiles: int
    failed_tiles: int
    cache_hits: int
    empty_windows: int
    computed_windows: int
    out_of_range_samples: int
    elapsed: _duration_pb2.Duration
    engine: str
    device: str
    def __init__(self, tiles: _Optional[int] = ..., failed_tiles: _Optional[int] = ..., cache_hits: _Optional[int] = ..., empty_windows: _Optional[int] = ..., computed_windows: _Optional[int] = ..., out_of_range_samples: _Optional[int] = ..., elapsed: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., engine: _Optional[str] = ..., device: _Optional[str] = ...) -> None: ...

class UpscaleRequest(_message.Message):
    __slots__ = ("parameters", "encoded", "raw", "output_format", "encoding", "reference", "priority", "allow_degraded")
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FORMAT_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DEGRADED_FIELD_NUMBER: _ClassVar[int]
    parameters: UpscaleParameters
    encoded: bytes
    raw: RawImage
    output_format: ImageFormat
    encoding: EncodingOptions
    reference: Image
    priority: Priority
    allow_degraded: bool
    def __init__(self, parameters: _Optional[_Union[UpscaleParameters, _Mapping]] = ..., encoded: _Optional[bytes] = ..., raw: _Optional[_Union[RawImage, _Mapping]] = ..., output_format: _Optional[_Union[ImageFormat, str]] = ..., encoding: _Optional[_Union[EncodingOptions, _Mapping]] = ..., reference: _Optional[_Union[Image, _Mapping]] = ..., priority: _Optional[_Union[Priority, str]] = ..., allow_degraded: bool = ...) -> None: ...

class UpscaleResponse(_message.Message):
    __slots__ = ("encoded", "raw", "metadata", "quality")
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    encoded: bytes
    raw: RawImage
    metadata: UpscaleMetadata
    quality: QualityReport
    def __init__(self, encoded: _Optional[bytes] = ..., raw: _Optional[_Union[RawImage, _Mapping]] = ..., metadata: _Optional[_Union[UpscaleMetadata, _Mapping]] = ..., quality: _Optional[_Union[QualityReport, _Mapping]] = ...) -> None: ...

class CompareRequest(_message.Message):
    __slots__ = ("image", "reference", "data_range")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    DATA_RANGE_FIELD_NUMBER: _ClassVar[int]
    image: Image
    reference: Image
    data_range: float
    def __init__(self, image: _Optional[_Union[Image, _Mapping]] = ..., reference: _Optional[_Union[Image, _Mapping]] = ..., data_range: _Optional[float] = ...) -> None: ...

class CompareResponse(_message.Message):
    __slots__ = ("quality", "height_px", "width_px", "border_px")
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    BORDER_PX_FIELD_NUMBER: _ClassVar[int]
    quality: Quality
    height_px: int
    width_px: int
    border_px: int
    def __init__(self, quality: _Optional[_Union[Quality, _Mapping]] = ..., height_px: _Optional[int] = ..., width_px: _Optional[int] = ..., border_px: _Optional[int] = ...) -> None: ...

class Quality(_message.Message):
    __slots__ = ("psnr_db", "ssim", "data_range")
    PSNR_DB_FIELD_NUMBER: _ClassVar[int]
    SSIM_FIELD_NUMBER: _ClassVar[int]
    DATA_RANGE_FIELD_NUMBER: _ClassVar[int]
    psnr_db: float
    ssim: float
    data_range: float
    def __init__(self, psnr_db: _Optional[float] = ..., ssim: _Optional[float] = ..., data_range: _Optional[float] = ...) -> None: ...

class QualityReport(_message.Message):
    __slots__ = ("result", "bicubic", "border_px")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    BICUBIC_FIELD_NUMBER: _ClassVar[int]
    BORDER_PX_FIELD_NUMBER: _ClassVar[int]
    result: Quality
    bicubic: Quality
    border_px: int
    def __init__(self, result: _Optional[_Union[Quality, _Mapping]] = ..., bicubic: _Optional[_Union[Quality, _Mapping]] = ..., border_px: _Optional[int] = ...) -> None: ...

class UpscaleMetadata(_message.Message):
    __slots__ = ("target_height_px", "target_width_px", "model", "revision", "options", "scale_numerator", "scale_denominator", "tiles", "windows", "cache_hits", "empty_windows", "computed_windows", "out_of_range_samples", "latency", "engine", "device", "format", "source_format", "degraded")
    TARGET_HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    TARGET_WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SCALE_NUMERATOR_FIELD_NUMBER: _ClassVar[int]
    SCALE_DENOMINATOR_FIELD_NUMBER: _ClassVar[int]
    TILES_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    CACHE_HITS_FIELD_NUMBER: _ClassVar[int]
    EMPTY_WINDOWS_FIELD_NUMBER: _ClassVar[int]
    COMPUTED_WINDOWS_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_RANGE_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    target_height_px: int
    target_width_px: int
    model: str
    revision: str
    options: UpscaleOptions
    scale_numerator: int
    scale_denominator: int
    tiles: int
    windows: int
    cache_hits: int
    empty_windows: int
    computed_windows: int
    out_of_range_samples: int
    latency: _duration_pb2.Duration
    engine: str
    device: str
    format: ImageFormat
    source_format: ImageFormat
    degraded: Degradation
    def __init__(self, target_height_px: _Optional[int] = ..., target_width_px: _Optional[int] = ..., model: _Optional[str] = ..., revision: _Optional[str] = ..., options: _Optional[_Union[UpscaleOptions, _Mapping]] = ..., scale_numerator: _Optional[int] = ..., scale_denominator: _Optional[int] = ..., tiles: _Optional[int] = ..., windows: _Optional[int] = ..., cache_hits: _Optional[int] = ..., empty_windows: _Optional[int] = ..., computed_windows: _Optional[int] = ..., out_of_range_samples: _Optional[int] = ..., latency: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., engine: _Optional[str] = ..., device: _Optional[str] = ..., format: _Optional[_Union[ImageFormat, str]] = ..., source_format: _Optional[_Union[ImageFormat, str]] = ..., degraded: _Optional[_Union[Degradation, _Mapping]] = ...) -> None: ...

class Degradation(_message.Message):
    __slots__ = ("reason", "message", "model", "options")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    model: str
    options: UpscaleOptions
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., model: _Optional[str] = ..., options: _Optional[_Union[UpscaleOptions, _Mapping]] = ...) -> None: ...
