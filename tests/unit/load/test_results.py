"""How the runs of a load show are added up."""

from tests.load.results import Check, Shown, repeated


def _shown(case: str, goodput: float, *checks: Check) -> Shown:
    return Shown(case, goodput, goodput / 100, checks)


def test_runs_of_a_case_are_told_with_their_spread_and_in_the_order_of_the_cases() -> None:
    runs = [_shown("b", 0.9), _shown("a", 0.5), _shown("b", 0.7), _shown("b", 0.8)]
    told = repeated(runs)
    assert [(one.case, one.runs, one.goodput) for one in told] == [("b", 3, (0.7, 0.8, 0.9)), ("a", 1, (0.5, 0.5, 0.5))]


def test_a_check_counts_how_often_it_held_and_a_case_that_broke_off_keeps_its_other_checks() -> None:
    good, bad = Check("429s", "0 %", "< 1 %", True), Check("429s", "2 %", "< 1 %", False)
    broke = Check("ran", "no provider", "to its end", False)
    (told,) = repeated([_shown("a", 0.9, good), _shown("a", 0.8, bad), _shown("a", 0.0, broke)])
    assert [(check.name, check.seen, check.held) for check in told.checks] == [
        ("429s", ("0 %", "2 %"), 1),
        ("ran", ("no provider",), 0),
    ]


def test_a_case_holds_when_all_its_checks_do_and_when_it_has_none() -> None:
    held, failed = Check("x", "1", "1", True), Check("y", "2", "1", False)
    assert _shown("a", 1.0).holds
    assert _shown("a", 1.0, held).holds
    assert not _shown("a", 1.0, held, failed).holds
