"""MNIST: handwritten digits, 28 x 28 pixels, fetched once where there is a network."""

from lib.tasks.images import ImageTask


class Mnist_A(ImageTask):
    """One layer, by Adam."""

    experiment = "Mnist"


class Mnist_B(Mnist_A):
    """Two layers, learning slower."""
