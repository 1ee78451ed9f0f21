"""MCP servers of users: saved, watched, and the tools that they offer."""
