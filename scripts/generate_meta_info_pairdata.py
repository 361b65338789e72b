"""List pairs of pictures to train on: the published command line; --help lists the options."""

import sys

from realesrgan.cli.main import script

if __name__ == "__main__":
    sys.exit(script("pairs"))
