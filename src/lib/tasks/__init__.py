"""The project's experiments as classes. Each module that is put here is found."""
