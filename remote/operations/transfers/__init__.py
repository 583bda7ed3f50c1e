"""What a push and a pull move, how, and what stays."""
