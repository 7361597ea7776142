"""Programs that look for inputs that break a promise; they assert times, so that they run alone and not in `make test`."""
