"""Restore videos: the published command line. `python inference_realesrgan_video.py --help` lists the options."""

import sys

from realesrgan.cli.main import video

if __name__ == "__main__":
    sys.exit(video())
