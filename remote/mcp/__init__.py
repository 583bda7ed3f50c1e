"""The operations as tools of the Model Context Protocol: `python -m remote mcp`."""
