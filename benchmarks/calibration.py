"""How exactly `realesrgan calibrate` reads what was planted: degrade sharp pictures, measure them, print the errors.

    python -m benchmarks.calibration                      the photographs that come with scikit-image
    python -m benchmarks.calibration --pictures DIR       sharp pictures of a folder

Each row is over all pictures. The three numbers are the 10th, 50th and 90th percentile of what was read.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from realesrgan.arrays import LUMA, Array
from realesrgan.degradation import kernels
from realesrgan.degradation.calibration.measuring import Measurement, measure, read_tables
from realesrgan.image import files, vips
from realesrgan.image.files import Picture

Degrade = Callable[[Array], Array]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", metavar="DIR", help="sharp pictures (default: those of scikit-image)")
    parser.add_argument("--only", choices=("noise", "blur", "cutoff", "earlier_jpeg"), help="only this part")
    options = parser.parse_args()
    vips.prepare_process()
    pictures = _photographs() if options.pictures is None else _read(Path(options.pictures))
    print(f"{len(pictures)} pictures")
    for part in (_noise, _blur, _cutoff, _earlier_jpeg):
        if options.only in (None, part.__name__.strip("_")):
            part(pictures)


def _photographs() -> list[Array]:
    """Photographs of scikit-image; one that is a JPEG file is made smaller, so that no trace of JPEG is left."""
    from skimage import data

    # scikit-image has no types.
    lossless = [data.astronaut(), data.chelsea(), data.coffee(), data.stereo_motorcycle()[0]]  # type: ignore[no-untyped-call]
    smaller = cv2.resize(data.retina(), None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)  # type: ignore[no-untyped-call]
    gray = cv2.cvtColor(data.camera(), cv2.COLOR_GRAY2BGR)  # type: ignore[no-untyped-call]
    return [np.ascontiguousarray(picture[..., ::-1]) for picture in (*lossless, smaller)] + [gray]


def _read(folder: Path) -> list[Array]:
    return [cv2.cvtColor(files.read(path).pixels, cv2.COLOR_BGRA2BGR) for path in sorted(folder.iterdir())]


def _measured(pictures: Sequence[Array], degrade: Degrade, quality: int | None = None) -> Iterator[Measurement]:
    """What is read of each picture after `degrade` and, if a quality is given, in a JPEG file."""
    with TemporaryDirectory() as folder:
        for picture in pictures:
            path = Path(folder) / ("a.png" if quality is None else "a.jpg")
            files.write(path, Picture(degrade(picture)), quality or 95)
            yield measure(files.read(path).pixels, read_tables(path))


def _noise(pictures: Sequence[Array]) -> None:
    chance = np.random.default_rng(0)

    def plant(sigma: float, coloured: bool) -> Degrade:
        def degrade(picture: Array) -> Array:
            return _levels(picture + chance.normal(0, sigma, (*picture.shape[:2], 3 if coloured else 1)))

        return degrade

    def plant_shot(scale: float) -> Degrade:
        def degrade(picture: Array) -> Array:
            light = (picture @ np.array(LUMA[::-1]))[..., None] / 255
            return _levels(picture + (chance.poisson(light * 256) / 256 - light) * 255 * scale)

        return degrade

    for quality in (None, 90, 75, 50, 30):
        for sigma in (0, 2, 5, 10, 20):
            for coloured in (False, True):
                found = [one.noise for one in _measured(pictures, plant(sigma, coloured), quality)]
                told = [one for one in found if one is not None and (one.luma > 0 or one.hidden <= 1)]
                right = [one.colour == coloured for one in told if one.colour is not None]
                grow = [not one.grows for one in told if one.grows is not None]
                strengths = [one.strength_if(coloured) for one in told]
                print(
                    f"noise {sigma}, {'colour' if coloured else 'gray'}, JPEG {quality}: {_three(strengths)}; "
                    f"told {len(told)}/{len(found)}; colour {sum(right)}/{len(right)}; kind {sum(grow)}/{len(grow)}"
                )
    for scale in (0.3, 1.0, 2.0):
        found = [one.noise for one in _measured(pictures, plant_shot(scale))]
        told = [one for one in found if one is not None]
        grow = [one.grows for one in told if one.grows is not None]
        print(f"Poisson {scale}: {_three([one.poisson_scale for one in told])}; kind {sum(grow)}/{len(grow)}")


def _blur(pictures: Sequence[Array]) -> None:
    chance = np.random.default_rng(0)

    def plant(sigma: float, noise: float) -> Degrade:
        def degrade(picture: Array) -> Array:
            blurred = cv2.GaussianBlur(picture, (0, 0), sigma) if sigma else picture
            return _levels(blurred + chance.normal(0, noise, picture.shape))

        return degrade

    for noise, quality in ((0, None), (5, None), (10, None), (20, None), (0, 75), (0, 40)):
        for sigma in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0):
            found = [one.blur for one in _measured(pictures, plant(sigma, noise), quality)]
            print(f"blur {sigma}, noise {noise}, JPEG {quality}: {_three([one for one in found if one is not None])}")


def _cutoff(pictures: Sequence[Array]) -> None:
    def filtered(cutoff: float) -> Degrade:
        kernel = kernels.sinc(21, cutoff)
        return lambda picture: _levels(cv2.filter2D(picture.astype(float), -1, kernel))

    def enlarged(factor: float, mode: int) -> Degrade:
        def degrade(picture: Array) -> Array:
            small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            return cv2.resize(small, picture.shape[1::-1], interpolation=mode)

        return degrade

    plants = {f"sinc {share}": filtered(share * math.pi) for share in (1.0, 0.8, 0.6, 0.5, 0.4, 0.3)}
    for name, mode in (("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC), ("Lanczos", cv2.INTER_LANCZOS4)):
        plants |= {f"enlarged from {factor}, {name}": enlarged(factor, mode) for factor in (0.7, 0.5, 0.3)}
    for name, degrade in plants.items():
        found = [one.cutoff / math.pi for one in _measured(pictures, degrade) if one.cutoff is not None]
        print(f"cut-off, {name}: {_three(found)}")


def _earlier_jpeg(pictures: Sequence[Array]) -> None:
    def compressed(quality: int) -> Degrade:
        def degrade(picture: Array) -> Array:
            encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
            assert decoded is not None
            return np.ascontiguousarray(decoded)[3:, 5:]

        return degrade

    for quality in (100, 95, 92, 90, 85, 75, 60, 50, 40, 30, 20, 10):
        found = [one.quality for one in _measured(pictures, compressed(quality))]
        told = [one for one in found if one is not None]
        print(f"JPEG {quality} once, then cropped: told {len(told)}/{len(found)}, {_three(told)}")
        found = [one.quality for one in _measured(pictures, lambda picture: picture, quality)]
        print(f"JPEG {quality} file: {_three([one for one in found if one is not None])}")


def _levels(picture: Array) -> Array:
    rounded: Array = np.rint(picture).clip(0, 255).astype(np.uint8)
    return rounded


def _three(values: Sequence[float]) -> str:
    return " ".join(f"{value:.2f}" for value in np.percentile(values, (10, 50, 90))) if values else "-"


if __name__ == "__main__":
    main()
