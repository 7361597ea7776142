from headrace_llm.gate import pace
from headrace_llm.gate.pace import MINUTE_US, SECOND_US, Quota
from hypothesis import given
from hypothesis import strategies as st

rates = st.floats(1, 100_000)
factors = st.floats(0.01, 20)


@given(rates, factors)
def test_no_interval_is_shorter_than_the_quota_allows(rpm: float, factor: float) -> None:
    assert pace.interval_us(Quota(rpm), factor) >= MINUTE_US / (rpm * factor)


@given(st.floats(61.6, 100_000))
def test_above_sixty_a_minute_next_to_nothing_is_lost(rpm: float) -> None:
    assert pace.interval_us(Quota(rpm), 1.0) <= MINUTE_US / rpm * 1.003


@given(st.floats(1, 60))
def test_up_to_sixty_a_minute_a_late_call_does_not_make_the_next_one_early(rpm: float) -> None:
    quota = Quota(rpm)
    assert (
        pace.interval_us(quota, 1.0) - pace.tolerance_us(quota, 1.0)
        >= MINUTE_US / rpm + pace.JITTER_US - pace.LEAST_LATENESS_US
    )


@given(rates, factors)
def test_running_ahead_stays_within_a_second_of_the_providers_burst(rpm: float, factor: float) -> None:
    even = MINUTE_US / (rpm * factor)
    assert pace.tolerance_us(Quota(rpm), factor) <= max(pace.LEAST_LATENESS_US, (SECOND_US - even) / 2)


@given(rates, st.floats(1, 1e9), factors, st.floats(0.01, 1))
def test_a_share_is_never_faster_than_the_whole(rpm: float, tpm: float, factor: float, share: float) -> None:
    whole, part = Quota(rpm, tpm, burst=3, probe=True), Quota(rpm, tpm).part(share)
    assert pace.interval_us(part, factor) >= pace.interval_us(whole, factor) * 0.999
    assert pace.tokens_us(part, factor, 100) >= pace.tokens_us(whole, factor, 100) * 0.999
    assert not part.probe


def test_what_is_not_configured_is_not_paced() -> None:
    assert (pace.interval_us(Quota(), 1.0), pace.tolerance_us(Quota(), 1.0), pace.tokens_us(Quota(), 1.0, 10)) == (0, 0, 0)
    assert not Quota().bounded
    assert Quota(tpm=5).bounded
