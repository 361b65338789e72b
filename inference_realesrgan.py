"""Restore pictures: the published command line. `python inference_realesrgan.py --help` lists the options."""

import sys

from realesrgan.cli.main import image

if __name__ == "__main__":
    sys.exit(image())
