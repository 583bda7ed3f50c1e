"""The first step: images of 32 x 32 pixels, in files that the others read."""
