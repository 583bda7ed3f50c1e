"""The project's own code: what notebooks import."""
