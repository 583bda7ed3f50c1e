"""The steps of the round trip: push, submit, follow, pull, and living with jobs."""
