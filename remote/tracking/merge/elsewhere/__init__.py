"""Stores that aren't opened as `main` itself: other databases, and all stores of a dry run.

scratch     the `main` that rows are copied to, and how what changed is found again
file        reads a SQLite file
database    reads PostgreSQL, MySQL and MariaDB through SQLAlchemy; `writing` writes to them
shapes      what their tables look like, and what has room in them
unfit       refuses what has none
"""
