"""Training: how Real-ESRNet and Real-ESRGAN learn, from recipes and pictures to weights."""
