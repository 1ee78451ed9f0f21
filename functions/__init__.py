"""One folder, one Lambda function."""

import gc

# A cold start makes some 100,000 objects, nearly all of them modules' own: looking for garbage after every 700 costs a
# tenth of it and finds nothing.
gc.set_threshold(50_000, 20, 20)
