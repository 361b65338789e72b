"""Training of Real-ESRNet and Real-ESRGAN: from a folder of pictures to weights."""
