"""How many examples a property test tries."""

from hypothesis import settings


def examples(count: int) -> int:
    """`count` in `make test`; what the profile says where HYPOTHESIS_PROFILE asks for more: `nightly` is 10,000."""
    name = settings.get_current_profile_name()
    return count if name == "headrace" else settings.get_profile(name).max_examples
