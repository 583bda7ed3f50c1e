"""`adopt`: the toolkit comes into a project that exists.

Each editor in `edits` looks at one file of the project and returns a `Change`. `command` collects
them, shows them, asks, and only then writes. `files/` holds what is written. Dependencies are the
project's own tool's to change: `dependencies` says how.
"""
