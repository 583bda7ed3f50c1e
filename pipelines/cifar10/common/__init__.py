"""What the steps share: their runs, their arguments, and the images on their way."""
