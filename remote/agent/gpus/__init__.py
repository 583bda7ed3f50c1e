"""The GPUs of this machine: what they are, who leases them, who waits."""
