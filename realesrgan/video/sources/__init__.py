"""What frames come from: a container, an animated WebP, a folder of pictures, all behind one VideoSource."""
