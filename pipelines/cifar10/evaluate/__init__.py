"""The fourth step: the server at work on the test images."""
