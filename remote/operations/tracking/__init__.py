"""MLflow records between the project's store and others."""
