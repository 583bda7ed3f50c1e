"""The third step: what serves the network, as a folder and as an image."""
