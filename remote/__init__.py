"""Push a project to a GPU server over rsync, run it there in tmux, pull the results back."""

__version__ = "0.1.0"
