"""What runs inside the project's environment, beside the user's code."""
