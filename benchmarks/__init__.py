"""Spandrel beside its peers. Functions log nothing here: their lines would drown the figures."""

import os

os.environ.setdefault("POWERTOOLS_LOG_LEVEL", "CRITICAL")
