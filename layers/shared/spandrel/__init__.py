"""Spandrel: a serverless backend for AI agents. The shared layer."""

__version__ = "0.1.0"
