"""What is brought to a server that lacks it: a Python, uv, a way to the internet."""
