"""What a job can run, and how it is found by what was typed."""
