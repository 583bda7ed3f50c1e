"""The job folder is the protocol: shared by the laptop, the agent and the job (Python 3.8)."""
