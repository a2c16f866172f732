"""Counts and marks that may be lost: each works with Redis, and refuses nobody without it."""

from __future__ import annotations

import redis

from core.tally import WITHOUT_REDIS, Tally


def test_a_mark_is_made_once_and_its_maker_finds_it_again(
    redis_url: str, valkey: redis.Redis
) -> None:
    tally, other = Tally(redis_url), Tally(redis_url)
    assert tally.mark("x", "mine", keep_s=60)
    assert other.mark("x", "mine", keep_s=60)
    assert not other.mark("x", "theirs", keep_s=60)
    assert 0 < valkey.ttl("riverain:x") <= 60


def test_a_count_begins_anew_after_its_time(redis_url: str, valkey: redis.Redis) -> None:
    tally = Tally(redis_url)
    assert [tally.count("n", keep_s=60) for _ in range(3)] == [1, 2, 3]
    assert 0 < valkey.ttl("riverain:n") <= 60
    valkey.delete("riverain:n")
    assert tally.count("n", keep_s=60) == 1


def test_without_redis_every_mark_is_new_every_count_nothing_and_that_is_counted() -> None:
    tally = Tally("redis://127.0.0.1:1/0")
    before = WITHOUT_REDIS._value.get()
    assert tally.mark("x", "mine", keep_s=60)
    assert tally.mark("x", "theirs", keep_s=60)
    assert tally.count("n", keep_s=60) == 0
    assert WITHOUT_REDIS._value.get() == before + 3
