"""The jobs of a target: accepted, listed, stopped, compared and removed."""
