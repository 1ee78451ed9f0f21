"""One folder, one Lambda function."""

import gc

from spandrel.left_out import without

# What a cold start makes is nearly all modules' own, some 50,000 objects: looking for garbage among them takes
# 10 ms of it and finds nothing.
gc.set_threshold(100_000, 20, 20)

# uuid asks platform for the system's name, which os.uname() tells as well: 1 ms of every cold start.
with without("platform"):
    import uuid as _uuid  # noqa: F401
