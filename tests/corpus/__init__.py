"""Sample documents made in code: sound ones, and ones that are out to break a parser."""
