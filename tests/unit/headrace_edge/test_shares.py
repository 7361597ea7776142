"""Who was served how much of late."""

from headrace_edge.quota.shares import HALF_LIFE_S, MAX_TENANTS, Shares


def test_a_tenant_that_is_alone_never_has_its_share() -> None:
    shares = Shares()
    for n in range(100):
        shares.serve("a", 5, now=n)
        assert not shares.has_its_share("a")


def test_who_was_served_more_than_an_equal_part_has_its_share() -> None:
    shares = Shares()
    for tenant, calls in (("a", 5), ("b", 3), ("c", 1)):
        shares.serve(tenant, calls, now=1000)
    assert [shares.has_its_share(one) for one in ("a", "b", "c", "new")] == [True, False, False, False]


def test_equal_ones_are_all_entitled() -> None:
    shares = Shares()
    for tenant in ("a", "b", "c"):
        shares.serve(tenant, 0.1, now=5)
    assert not any(shares.has_its_share(one) for one in ("a", "b", "c"))


def test_asking_alone_is_no_service() -> None:
    shares = Shares()
    shares.serve("a", 1, now=0)
    for _ in range(10_000):
        shares.ask("b", now=0)
    assert shares.has_its_share("a")
    assert not shares.has_its_share("b")


def test_what_was_served_long_ago_counts_less() -> None:
    shares = Shares()
    shares.serve("a", 10, now=0)
    shares.serve("b", 6, now=HALF_LIFE_S)
    assert shares.has_its_share("b")
    assert not shares.has_its_share("a")


def test_who_does_not_ask_any_more_is_forgotten_and_takes_no_share() -> None:
    shares = Shares()
    for n in range(50):
        shares.ask(f"gone-{n}", now=0)
    shares.serve("here", 1, now=1)
    shares.ask("here", now=20 * HALF_LIFE_S)
    shares.ask("here", now=40 * HALF_LIFE_S)
    assert len(shares) == 1


def test_however_long_nobody_asks_it_goes_on() -> None:
    shares = Shares()
    for now in (1e9, 1e9 + 1, 5e9, 5e9 + 1):
        shares.serve("a", 3, now=now)
        shares.serve("b", 1, now=now)
    assert shares.has_its_share("a")
    assert not shares.has_its_share("b")


def test_tenants_are_bounded() -> None:
    shares = Shares()
    for n in range(MAX_TENANTS + 10):
        shares.ask(str(n), now=0)
    assert len(shares) == MAX_TENANTS
