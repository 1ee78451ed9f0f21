from __future__ import annotations

import re
from itertools import islice

from hypothesis import given, strategies as st

from spandrel.integrations.slugs import base_slug, candidates


def test_names_become_short_plain_words() -> None:
    assert base_slug("Café, Büro 2") == "cafe-buro-2"
    assert base_slug("日本") == "server"
    assert base_slug("a" * 80) == "a" * 50


@given(st.text(min_size=1, max_size=200))
def test_every_candidate_is_a_slug_and_no_two_are_the_same(name: str) -> None:
    found = list(islice(candidates(name), 50))
    assert len(set(found)) == len(found) == 20
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,49}", each) for each in found)
