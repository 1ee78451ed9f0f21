"""From the event log to each connection, in order, from its own cursor."""
