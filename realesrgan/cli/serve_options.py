"""The options of `realesrgan serve`."""

from __future__ import annotations

from dataclasses import dataclass

from ..restorer import EngineKind
from .options import ADDRESS, LIMITS, MACHINE, engine_option, mixed_option, option, ray_option


@dataclass(frozen=True)
class ServeOptions:
    """Options of `realesrgan serve`."""

    host: str = option(
        "127.0.0.1",
        topic=ADDRESS,
        help="address to listen on; any but this machine's own needs a token (default: %(default)s)",
    )
    port: int = option(8000, topic=ADDRESS, help="port to listen on; 0 takes a free one (default: %(default)s)")
    token: str | None = option(
        None,
        topic=ADDRESS,
        help="what clients must know; better in the variable REALESRGAN_TOKEN, which nobody else sees",
    )
    open: bool = option(False, topic=ADDRESS, help="open the page in a browser")
    folder: str | None = option(
        None, topic=LIMITS, metavar="DIR", help="where uploads and results are kept (default: in your data folder)"
    )
    keep_hours: float = option(
        24.0, topic=LIMITS, metavar="H", help="remove files this long after a job has ended (default: %(default)g)"
    )
    max_upload: str = option("4GB", topic=LIMITS, metavar="SIZE", help="largest file to take (default: %(default)s)")
    max_megapixels: float = option(
        200.0, topic=LIMITS, metavar="MP", help="largest picture or frame to take (default: %(default)g)"
    )
    max_hours: float = option(4.0, topic=LIMITS, metavar="H", help="longest video to take (default: %(default)g)")
    max_jobs: int = option(1000, topic=LIMITS, metavar="N", help="most jobs that may wait (default: %(default)s)")
    gpu_id: str | None = option(
        None,
        "-g",
        "--gpu-id",
        topic=MACHINE,
        metavar="DEVICE",
        help="0, cuda:1, mps, cpu, or several as in 0,1 (default: the best there is)",
    )
    max_memory: str | None = option(
        None,
        topic=MACHINE,
        metavar="SIZE",
        help="most memory to take, as 1.5GB (default: a safe share of what is free)",
    )
    engine: EngineKind = engine_option()
    ray: str | None = ray_option()
    mixed: bool = mixed_option()
