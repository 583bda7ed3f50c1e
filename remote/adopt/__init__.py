"""`adopt`: the toolkit comes into a project that exists.

Each part looks at the project and says what it would change (`Part`); `command` shows all of it,
asks, and only then writes. `files/` holds what is written.
"""
