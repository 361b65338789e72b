"""Make the sample pictures in inputs/: small, soft, noisy and compressed, as found on the web. Knows nothing of torch.

Needs `pip install scikit-image`, which includes the photographs; inputs/README.md names their authors and licences.
Run `python scripts/make_inputs.py`: with the same library versions it writes the same bytes every time.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

INPUTS = Path(__file__).resolve().parent.parent / "inputs"
SEED = 2021  # arbitrary, but fixed: the noise is part of the committed pictures
SMALLEST_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 9]
INK, SKY, SUN, STEEL, RED, PAPER = "#1d1b26", "#5fb4c9", "#f6c945", "#c9cfd8", "#d8433b", "#fffdf4"
HEART_ROWS = (".XX.XX.", "XXXXXXX", "XXXXXXX", ".XXXXX.", "..XXX..", "...X...")
HEART = [(427 + 15 * x, 165 + 15 * y) for y, row in enumerate(HEART_ROWS) for x, cell in enumerate(row) if cell == "X"]


def shrink(picture: np.ndarray, width: int, height: int, *, blur: float) -> np.ndarray:
    """Reduce a 0..255 picture to width × height by area, then blur by `blur` output pixels; float32 in [0, 1]."""
    small = cv2.resize(picture.astype(np.float32) / 255, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), blur)


def add_noise(picture: np.ndarray, *, level: float) -> np.ndarray:
    """Add sensor-like Gaussian noise; `level` is its standard deviation in steps of 1/255."""
    noise = np.random.default_rng(SEED).normal(0, level / 255, picture.shape)
    return np.clip(picture + noise, 0, 1)


def encode_jpeg(picture: np.ndarray, *, quality: int) -> bytes:
    """RGB or gray in [0, 1] → the bytes of a JPEG file."""
    return encode(".jpg", round_to(np.uint8, picture), [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode(suffix: str, picture: np.ndarray, options: list[int]) -> bytes:
    """RGB, RGBA or gray, 8 or 16 bit → the bytes of a file."""
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    return cv2.imencode(suffix, picture, options)[1].tobytes()


def round_to(dtype: type[np.unsignedinteger], picture: np.ndarray) -> np.ndarray:
    """Scale [0, 1] to the full range of an unsigned type."""
    return np.rint(picture * np.iinfo(dtype).max).astype(dtype)


def cut_out_coffee() -> np.ndarray:
    """Cup, saucer and spoon on transparency: (H, W, 4) uint16 RGBA, alpha not premultiplied."""
    mask = np.zeros(data.coffee().shape[:2], np.uint8)
    cv2.ellipse(mask, ((277, 222), (401, 334), 8), 255, -1, cv2.LINE_AA)  # saucer: centre, axes, tilt in degrees
    cv2.ellipse(mask, ((290, 112), (234, 188), 3), 255, -1, cv2.LINE_AA)  # rim of the cup
    cv2.line(mask, (411, 79), (398, 150), 255, 21, cv2.LINE_AA)  # handle of the spoon
    alpha = cv2.GaussianBlur(mask, (0, 0), 1.5)[..., None] / 255
    # Averaging colour times alpha keeps the table, which lies outside the mask, from bleeding into the edge.
    cup = np.concatenate([data.coffee() * alpha, alpha * 255], axis=2)[8:398, 66:492]
    small = shrink(cup, 128, 117, blur=0.5)
    colour, alpha = small[..., :3], small[..., 3:]
    inside = alpha > 1 / 255
    colour = np.where(inside, colour / np.maximum(alpha, 1 / 255), 0)
    return round_to(np.uint16, np.concatenate([add_noise(colour, level=1.5) * inside, alpha * inside], axis=2))


def draw_comic() -> np.ndarray:
    """One panel with flat colours, ink lines, halftone dots and lettering: (384, 800, 3) uint8 RGB."""
    panel = Image.new("RGB", (800, 384), SKY)
    draw = ImageDraw.Draw(panel)
    for row, y in enumerate(range(230, 384, 14)):
        for x in range(7 * (row % 2), 800, 14):
            draw.circle((x, y), 1 + row * 0.45, fill=SUN)
    draw.line((180, 88, 180, 40), fill=INK, width=8)
    draw.circle((180, 36), 16, fill=RED, outline=INK, width=6)
    draw.rounded_rectangle((105, 262, 255, 420), 30, fill=RED, outline=INK, width=8)
    draw.rounded_rectangle((80, 86, 280, 254), 44, fill=STEEL, outline=INK, width=8)
    for x in (132, 222):
        draw.circle((x, 150), 32, fill=PAPER, outline=INK, width=6)
        draw.circle((x + 12, 156), 13, fill=INK)
    draw.arc((130, 160, 230, 228), 25, 155, fill=INK, width=8)
    draw.line((240, 320, 322, 352, 424, 262), fill=INK, width=22, joint="curve")
    draw.circle((480, 208), 80, fill=PAPER, outline=INK, width=12)
    for x, y in HEART:
        draw.rectangle((x, y, x + 13, y + 13), fill=RED)
    draw.polygon((300, 150, 380, 84, 412, 110), fill=PAPER, outline=INK, width=6)
    draw.rounded_rectangle((350, 22, 776, 112), 40, fill=PAPER, outline=INK, width=6)
    draw.polygon((376, 88, 382, 82, 424, 100, 404, 106), fill=PAPER)
    large, small = ImageFont.load_default(62), ImageFont.load_default(36)
    draw.text((563, 66), "Look closer!", INK, large, anchor="mm")
    draw.text((672, 200), "seven pixels\nwide, and\nstill a heart", INK, small, anchor="mm", align="center")
    draw.rectangle((3, 3, 796, 380), outline=INK, width=7)
    return np.asarray(panel)


def main() -> None:
    portrait = add_noise(shrink(data.astronaut()[4:308, 84:340], 128, 152, blur=0.5), level=3)
    shuttle = add_noise(shrink(data.astronaut()[0:282, 344:490], 85, 164, blur=0.4), level=4)
    cat = add_noise(shrink(data.chelsea()[0:300, 20:420], 160, 120, blur=0.4), level=2)
    camera = add_noise(shrink(data.camera()[50:320, 60:420], 160, 120, blur=0.5), level=5)
    comic = shrink(draw_comic(), 200, 96, blur=0.4)
    contents = {
        "portrait.jpg": encode_jpeg(portrait, quality=65),
        "shuttle.jpg": encode_jpeg(shuttle, quality=75),
        "cat.jpg": encode_jpeg(cat, quality=55),
        "comic.jpg": encode_jpeg(comic, quality=60),
        "camera_gray.png": encode(".png", round_to(np.uint8, camera), SMALLEST_PNG),
        "coffee_alpha_16bit.png": encode(".png", cut_out_coffee(), SMALLEST_PNG),
    }
    INPUTS.mkdir(exist_ok=True)
    for name, content in contents.items():
        (INPUTS / name).write_bytes(content)


if __name__ == "__main__":
    main()
