"""The published address of training: `python realesrgan/train.py -opt options/…` is `realesrgan train`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Run as a script, Python looks for modules in this folder instead of the project's.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from realesrgan.cli.main import train

    sys.exit(train())
