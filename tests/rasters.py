"""Small rasters of every kind, written into a folder, and a server of files that can be told to fail."""

from __future__ import annotations

import math
import re
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC
from rasterio.transform import Affine

from hndsr_ensemble.evaluation.scene import render_scene

Pixels = npt.NDArray[Any]
RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
NORTH_UP = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)
"""Ten metres per pixel, near 15° E, 45° N in `UTM`."""
UTM = "EPSG:32633"
SIZE_PX = (90, 120)
"""Height and width, unless a function says otherwise."""
CUSTOM_WKT = (
    'PROJCRS["site grid of a survey",BASEGEOGCRS["International 1924 of the survey",'
    'DATUM["Datum of the survey",ELLIPSOID["International 1924",6378388,297,LENGTHUNIT["metre",1]]],'
    'PRIMEM["Greenwich",0,ANGLEUNIT["degree",0.0174532925199433]]],'
    'CONVERSION["unnamed",METHOD["Lambert Azimuthal Equal Area",ID["EPSG",9820]],'
    'PARAMETER["Latitude of natural origin",45.1,ANGLEUNIT["degree",0.0174532925199433],ID["EPSG",8801]],'
    'PARAMETER["Longitude of natural origin",15.05,ANGLEUNIT["degree",0.0174532925199433],ID["EPSG",8802]],'
    'PARAMETER["False easting",500000.25,LENGTHUNIT["metre",1],ID["EPSG",8806]],'
    'PARAMETER["False northing",5000000.5,LENGTHUNIT["metre",1],ID["EPSG",8807]]],'
    'CS[Cartesian,2],AXIS["easting",east,ORDER[1],LENGTHUNIT["metre",1]],'
    'AXIS["northing",north,ORDER[2],LENGTHUNIT["metre",1]]]'
)


def pattern(bands: int = 3, size_px: tuple[int, int] = SIZE_PX, dtype: str = "uint8") -> Pixels:
    """Samples (bands, height, width) that say where they are and are never 0: 1 to 250 of uint8, -9,000 to 9,000 of
    int16, 1 to 60,000 of uint16, 0.001 to 60 of floats. The same arguments give the same samples.
    """
    height_px, width_px = size_px
    band, row, column = np.ogrid[:bands, :height_px, :width_px]
    steps = (row * 7 + column * 3 + band * 31 + (row * column) % 11) % 250
    if dtype in {"float32", "float64"}:
        return np.asarray(0.001 + steps * 0.24, dtype)
    if dtype == "int16":
        return np.asarray(steps * 72 - 9_000 + (steps == 125) * 7, dtype)
    return np.asarray(steps * 240 + 1 if dtype == "uint16" else steps + 1, dtype)


def write(path: Path, pixels: Pixels, *, colors: Sequence[ColorInterp] | None = None, **profile: Any) -> Path:
    """A raster of these samples (bands, height, width): a GeoTIFF, north up in `UTM`, unless the profile says so."""
    bands, height_px, width_px = pixels.shape
    said = {"driver": "GTiff", "crs": UTM, "transform": NORTH_UP, **profile}
    facts = {"count": bands, "height": height_px, "width": width_px, "dtype": pixels.dtype.name}
    path.parent.mkdir(parents=True, exist_ok=True)
    with _quiet(), rasterio.open(path, "w", **facts, **said) as dataset:
        dataset.write(pixels)
        if colors is not None:
            dataset.colorinterp = colors
    return path


def copy(source: Path, path: Path, *, driver: str, **options: Any) -> Path:
    """The same raster, made by another driver."""
    with _quiet():
        rasterio.shutil.copy(str(source), str(path), driver=driver, **options)
    return path


def rgb(folder: Path, *, name: str = "rgb.tif", size_px: tuple[int, int] = SIZE_PX, **profile: Any) -> Path:
    """Three bands of uint8, north up."""
    return write(folder / name, pattern(3, size_px), colors=RGB, **profile)


def rotated(folder: Path) -> Path:
    """RGB of a grid turned by 30 degrees, with pixels of 10 × 8 m."""
    cosine, sine = math.cos(math.radians(30)), math.sin(math.radians(30))
    transform = Affine(10 * cosine, 8 * sine, 500_000, 10 * sine, -8 * cosine, 5_000_000)
    return rgb(folder, name="rotated.tif", transform=transform)


def nodata_islands(folder: Path, *, dtype: str = "uint8", nodata: float = 0) -> Path:
    """RGB with nodata declared, which all bands are in rows 10:40 and columns 20:50, and in row 70; the first band
    alone is in row 60.
    """
    pixels = pattern(3, dtype=dtype)
    pixels[:, 10:40, 20:50] = pixels[:, 70] = pixels[0, 60] = nodata
    return write(folder / f"nodata_{dtype}.tif", pixels, colors=RGB, nodata=nodata)


def uint16(folder: Path, *, bands: int = 3) -> Path:
    """Bands of 16 bits, tiled, with descriptions, units, scales, offsets and tags of the file and of its bands."""
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 48, "compress": "deflate", "photometric": "minisblack"}
    path = write(folder / f"uint16_{bands}.tif", pattern(bands, dtype="uint16"), **profile)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = [f"B{number:02}" for number in range(1, bands + 1)]
        dataset.units = ["reflectance"] * bands
        dataset.scales, dataset.offsets = [0.0001] * bands, [-0.1] * bands
        dataset.update_tags(AREA_OR_POINT="Point", ACQUIRED="2024-06-01", PIXEL_SIZE_M="10")
        dataset.update_tags(1, WAVELENGTH_NM="490", STATISTICS_MAXIMUM="60001")
        dataset.update_tags(ns="IMAGERY", CLOUDCOVER="3", ACQUISITIONDATETIME="2024-06-01 10:00:00")
    return path


def aerial(folder: Path, *, size_px: tuple[int, int]) -> Path:
    """A drawn aerial scene in 16 bits, 3,000 to 12,000, three bands."""
    scene = render_scene(*size_px, seed=3).astype(np.uint16)
    return write(folder / "aerial.tif", np.moveaxis(scene * 35 + 3_000, 2, 0))


def outliers(folder: Path) -> Path:
    """16 bits, three bands, 1 to 60,000, but for three samples of 65,535 and a row of 0."""
    samples = pattern(3, dtype="uint16") // 10 + 1000
    samples[:, 20, 30] = 65_535
    samples[1, 50] = 0
    return write(folder / "outliers.tif", samples)


def int16(folder: Path, *, nodata: float | None = -32768) -> Path:
    """Three bands with negative samples; rows 5:9 are nodata if there is any."""
    pixels = pattern(3, dtype="int16")
    if nodata is not None:
        pixels[:, 5:9] = nodata
    return write(folder / "int16.tif", pixels, nodata=nodata, photometric="minisblack")


def float32_nan(folder: Path, *, nodata: float | None = float("nan")) -> Path:
    """One band with NaN in rows 20:30, columns 40:80, and one infinite sample at 0, 0; NaN is declared nodata."""
    pixels = pattern(1, dtype="float32")
    pixels[:, 20:30, 40:80] = np.nan
    pixels[0, 0, 0] = np.inf
    return write(folder / "float32.tif", pixels, nodata=nodata)


def naip(folder: Path) -> Path:
    """Red, green, blue and near infrared of uint8, tiled, band by band, as aerial surveys come."""
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "band", "photometric": "rgb"}
    path = write(folder / "naip.tif", pattern(4), colors=(*RGB, ColorInterp.undefined), alpha="unspecified", **profile)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ["Red", "Green", "Blue", "NIR"]
    return path


def planar(folder: Path) -> Path:
    """RGB, each band in strips of its own."""
    return rgb(folder, name="planar.tif", interleave="band")


def one_row(folder: Path, *, width_px: int = 200) -> Path:
    """RGB of 1 × N pixels."""
    return rgb(folder, name="one_row.tif", size_px=(1, width_px))


def alpha(folder: Path, *, dtype: str = "uint8") -> Path:
    """RGBA: alpha is 0 in rows 30:60 and columns 0:40, half of its maximum in row 80, else its maximum."""
    pixels = pattern(4, dtype=dtype)
    pixels[3] = most = int(np.iinfo(dtype).max)
    pixels[3, 30:60, :40], pixels[3, 80] = 0, most // 2
    colors = (*RGB, ColorInterp.alpha)
    return write(folder / f"alpha_{dtype}.tif", pixels, colors=colors, photometric="rgb", alpha="yes")


def internal_mask(folder: Path, *, external: bool = False) -> Path:
    """RGB with a mask of the whole raster, which is invalid in rows 50:90 and columns 60:100; inside the file, or in
    a .msk beside it.
    """
    path = folder / ("external_mask.tif" if external else "internal_mask.tif")
    mask = np.full(SIZE_PX, 255, np.uint8)
    mask[50:90, 60:100] = 0
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK="NO" if external else "YES"),
        rasterio.open(rgb(folder, name=path.name), "r+") as dataset,
    ):
        dataset.write_mask(mask)
    return path


def custom_crs(folder: Path) -> Path:
    """RGB in a grid that no authority knows."""
    return rgb(folder, name="custom_crs.tif", crs=CUSTOM_WKT)


def ground_points(folder: Path) -> Path:
    """RGB whose corners alone are known, as four ground control points in `UTM`; there is no transform."""
    height_px, width_px = SIZE_PX
    corners = [(0, 0), (0, width_px), (height_px, 0), (height_px, width_px)]
    points = [
        GroundControlPoint(row=row, col=column, x=500_000 + 10 * column + row, y=5_000_000 - 9 * row, id=str(number))
        for number, (row, column) in enumerate(corners, 1)
    ]
    return write(folder / "points.tif", pattern(3), colors=RGB, crs=UTM, gcps=points, transform=None)


def rational_polynomial(folder: Path) -> Path:
    """One band of uint16 whose place is known by rational polynomial coefficients alone."""
    coefficients = [0.0, 1.0, 0.01] + [0.0] * 17
    rpcs = RPC(
        height_off=100.0,
        height_scale=500.0,
        lat_off=45.1,
        lat_scale=0.01,
        line_den_coeff=[1.0] + [0.0] * 19,
        line_num_coeff=coefficients,
        line_off=44.5,
        line_scale=45.0,
        long_off=15.05,
        long_scale=0.01,
        samp_den_coeff=[1.0] + [0.0] * 19,
        samp_num_coeff=coefficients,
        samp_off=59.5,
        samp_scale=60.0,
        err_bias=1.5,
        err_rand=0.5,
    )
    return write(folder / "rpc.tif", pattern(1, dtype="uint16"), crs=None, transform=None, rpcs=rpcs)


def plain(folder: Path) -> Path:
    """RGB that is nowhere: no CRS, no transform."""
    return rgb(folder, name="plain.tif", crs=None, transform=None)


def palette(folder: Path) -> Path:
    """One band of colour numbers."""
    path = folder / "palette.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=90, width=120, dtype="uint8", crs=UTM, transform=NORTH_UP
    ) as dataset:
        dataset.write_colormap(1, {number: (number, 255 - number, 7, 255) for number in range(256)})
        dataset.write(pattern(1))
    return path


def virtual(folder: Path) -> Path:
    """A VRT of the file "virtual_source.tif" beside it, RGB, named relatively."""
    return copy(rgb(folder, name="virtual_source.tif"), folder / "virtual.vrt", driver="VRT")


def png(folder: Path, *, size_px: tuple[int, int] = SIZE_PX) -> Path:
    """An RGB picture that is nowhere."""
    return write(folder / "picture.png", pattern(3, size_px), driver="PNG", crs=None, transform=None)


def jpeg2000(folder: Path, *, size_px: tuple[int, int] = SIZE_PX) -> Path:
    """RGB, lossless, with its georeference."""
    options = {"QUALITY": "100", "REVERSIBLE": "YES", "BLOCKXSIZE": "64", "BLOCKYSIZE": "64"}
    return copy(rgb(folder, name="jpeg2000_source.tif", size_px=size_px), folder / "picture.jp2", driver="JP2OpenJPEG",
                **options)  # fmt: skip


def cog(folder: Path, *, name: str = "cog.tif", size_px: tuple[int, int] = (600, 700), **options: Any) -> Path:
    """A Cloud-Optimized GeoTIFF, RGB, with blocks of 128 px and overviews."""
    source = rgb(folder, name=f"{name}.source.tif", size_px=size_px)
    made = copy(source, folder / name, driver="COG", BLOCKSIZE=128, **options)
    source.unlink()
    return made


def container(folder: Path) -> Path:
    """A netCDF of three rasters, Band1 to Band3; GDAL opens one of them by a name of its own, `container_part`."""
    return copy(rgb(folder, name="container_source.tif"), folder / "container.nc", driver="netCDF")


def container_part(path: Path, number: int = 1) -> str:
    """What GDAL calls one raster of a container."""
    return f"NETCDF:{path}:Band{number}"


def zarr_store(folder: Path, *, dtype: str = "uint16") -> Path:
    """A folder of zarr with one array (3, height, width), as GDAL writes it."""
    return copy(write(folder / "zarr_source.tif", pattern(3, dtype=dtype)), folder / "store.zarr", driver="Zarr")


def geolocated(folder: Path) -> Path:
    """A VRT whose place is told by arrays of longitude and latitude alone, domain GEOLOCATION."""
    source = virtual(folder)
    arrays = "".join(f'<MDI key="{axis}_{fact}">{said}</MDI>' for axis in "XY" for fact, said in
                     (("DATASET", "virtual_source.tif"), ("BAND", "1")))  # fmt: skip
    place = f'<Metadata domain="GEOLOCATION">{arrays}<MDI key="PIXEL_STEP">1</MDI></Metadata>'
    text = re.sub(r"<(SRS|GeoTransform)\b.*?</\1>", "", source.read_text(), flags=re.DOTALL)
    path = folder / "geolocated.vrt"
    path.write_text(text.replace("<VRTRasterBand", f"{place}<VRTRasterBand", 1))
    return path


def truncate(path: Path, *, kept: float = 0.5) -> Path:
    """Cut a file off behind a share of its bytes."""
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * kept))
    return path


def polygon(*corners: tuple[float, float]) -> dict[str, Any]:
    """GeoJSON of one polygon, its corners being longitude and latitude; it is closed here."""
    return {"type": "Polygon", "coordinates": [[list(corner) for corner in (*corners, corners[0])]]}


class RangeServer(AbstractContextManager["RangeServer"]):
    """Serves a folder over HTTP on this machine, parts of files too, and fails when told to.

    Attributes:
        url: Of the folder; names are added behind a slash.
        requests: What was asked for so far: method, target with its query, and the range or "".
    """

    def __init__(self, folder: Path) -> None:
        self.requests: list[tuple[str, str, str]] = []
        self._folder = folder
        self._lock = threading.Lock()
        self._requests_left: int | None = None
        self._bytes_left: int | None = None
        self._status = HTTPStatus.SERVICE_UNAVAILABLE
        self._released = threading.Event()
        self._released.set()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __exit__(self, *_: object) -> None:
        self.die()

    def options(self, kind: str = "http") -> dict[str, str]:
        """What GDAL must be told, for quick failures; of kind "s3" also where the buckets are, which are the folders in
        the folder, and that requests are not signed.
        """
        quick = {
            "GDAL_HTTP_TIMEOUT": "20",
            "GDAL_HTTP_MAX_RETRY": "1",
            "GDAL_HTTP_RETRY_DELAY": "0.01",
            "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/",
        }
        if kind != "s3":
            return quick
        endpoint = {"AWS_S3_ENDPOINT": f"127.0.0.1:{self.port}", "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}
        return {**quick, **endpoint, "AWS_NO_SIGN_REQUEST": "YES", "AWS_REGION": "us-east-1"}

    def fail(self, *, after_requests: int = 0, status: HTTPStatus = HTTPStatus.SERVICE_UNAVAILABLE) -> None:
        """Answer this many more requests, then only with a status."""
        with self._lock:
            self._requests_left, self._status = after_requests, status

    def cut(self, *, after_bytes: int) -> None:
        """Send this many more bytes of files, then break every connection within the answer."""
        with self._lock:
            self._bytes_left = after_bytes

    def stall(self) -> None:
        """Answer nothing until told to recover."""
        self._released.clear()

    def recover(self) -> None:
        """Answer everything again."""
        with self._lock:
            self._requests_left = self._bytes_left = None
        self._released.set()

    def die(self) -> None:
        """Close the port: connections are refused from now on. Dying twice is fine."""
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def file(self, target: str) -> Path | None:
        """What a request's target names, None where there is no such file."""
        path = self._folder.joinpath(*(part for part in unquote(urlsplit(target).path).split("/") if part))
        is_inside = path.resolve().is_relative_to(self._folder.resolve())
        return path if is_inside and path.is_file() else None

    def admit(self, method: str, target: str, part: str) -> HTTPStatus | None:
        """Take note of a request: None if it is to be answered, else the status it gets."""
        self._released.wait()
        with self._lock:
            self.requests.append((method, target, part))
            if self._requests_left is None:
                return None
            self._requests_left -= 1
            return None if self._requests_left >= 0 else self._status

    def allow(self, size_bytes: int) -> int:
        """How many of so many bytes are to be sent."""
        with self._lock:
            if self._bytes_left is None:
                return size_bytes
            allowed = min(size_bytes, self._bytes_left)
            self._bytes_left -= allowed
            return allowed


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, owner: RangeServer) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self._answer(sends_body=False)

    def do_GET(self) -> None:
        self._answer(sends_body=True)

    def log_message(self, *_: Any) -> None:
        """Nothing is logged."""

    def _answer(self, *, sends_body: bool) -> None:
        owner: RangeServer = self.server.owner  # type: ignore[attr-defined]
        part = self.headers.get("Range", "")
        status, path = owner.admit(self.command, self.path, part), owner.file(self.path)
        if status is not None or path is None:
            self._head(status or HTTPStatus.NOT_FOUND, {"Content-Length": "0"})
            return
        content = path.read_bytes()
        start, stop = _interval(part, len(content))
        if start >= stop:
            self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Length": "0"})
            return
        facts = {"Content-Length": str(stop - start), "Accept-Ranges": "bytes"}
        if part:
            facts["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        self._head(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK, facts)
        if sends_body:
            self._send(content[start:stop])

    def _head(self, status: HTTPStatus, facts: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, fact in facts.items():
            self.send_header(name, fact)
        self.end_headers()

    def _send(self, body: bytes) -> None:
        allowed = self.server.owner.allow(len(body))  # type: ignore[attr-defined]
        self.wfile.write(body[:allowed])
        if allowed < len(body):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)


def _interval(part: str, size_bytes: int) -> tuple[int, int]:
    """What "bytes=a-b" names of a file."""
    if not part:
        return 0, size_bytes
    first, _, last = part.removeprefix("bytes=").partition("-")
    if not first:
        return max(0, size_bytes - int(last)), size_bytes
    return int(first), min(size_bytes, int(last) + 1) if last else size_bytes


@contextmanager
def _quiet() -> Iterator[None]:
    """Rasters that are nowhere are meant so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield
