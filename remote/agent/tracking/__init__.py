"""The MLflow runs of jobs, and what the agent does for a pull and a push of records."""
