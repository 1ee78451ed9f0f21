"""One folder, one Lambda function."""

import gc

# What a cold start makes is nearly all modules' own: looking for garbage after every 700 new objects costs some percent
# of it and finds nothing.
gc.set_threshold(50_000, 20, 20)
