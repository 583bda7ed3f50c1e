"""`adopt`: the toolkit comes into a project that exists. `files/` holds what is written."""
