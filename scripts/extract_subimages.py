"""Cut pictures into pieces: the published command line; --help lists the options."""

import sys

from realesrgan.cli.main import script

if __name__ == "__main__":
    sys.exit(script("subimages"))
