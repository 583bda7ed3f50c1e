"""Handwritten digits, 8 x 8 pixels, which scikit-learn brings along."""

from lib.tasks.images import ImageTask


class Digits_A(ImageTask):
    """A small network, by Adam."""

    experiment = "Digits"


class Digits_B(Digits_A):
    """Two layers, by gradient descent with momentum."""
