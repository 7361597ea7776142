"""Which records the names in a text stand for. Pure: texts and records in, mentions out.

A name is found where the text has it, letter by letter after normalisation (NFKC, case folded, spaces as one), between
word borders: "3B" is in "class 3B" and not in "13B" or "3BC". Of names that overlap the longest is meant. What no name
fits exactly is compared word by word: a name of four letters or more that is clearly nearest to it is meant.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rapidfuzz import process
from rapidfuzz.distance import OSA

from headrace_executor.engine import written
from headrace_executor.model import Json

MIN_NAME = 2
"""Characters of the shortest name that is looked for: a single letter is in every text."""
MAX_NAME = 200
"""Characters of a name; the rest of a longer one is left out."""
MIN_FUZZY = 4
"""Characters of the shortest name that is compared where it is not written exactly."""
THRESHOLD = 0.85
"""Least likeness of a name that is not written exactly: one edit in seven letters (optimal string alignment)."""
MARGIN = 0.05
"""What is so near to the best likeness is as good."""
MAX_WORDS = 6
"""Words of the longest name that is compared where it is not written exactly."""
MAX_COMPARED = 200
"""Words of a text that are compared; names further on are found where they are written exactly."""
MAX_RECORDS = 5_000
"""Records of one source."""
MAX_NAMES = 8
"""Names of one record."""
MAX_DETAILS = 4
"""Fields that tell a record from others of its name."""
MAX_DETAIL = 64
"""Characters of such a field; one with a longer value is passed over."""
MAX_MENTIONS = 50
"""Mentions of one text."""
MAX_PLACES = 200
"""Places of a text where a name is taken to be, repeated ones included."""


@dataclass(frozen=True, slots=True)
class Record:
    """Something that a connector knows by name."""

    kind: str
    id: Json
    """A string or a number."""
    names: tuple[str, ...]
    """The first is how it is called."""
    details: Mapping[str, Json] = field(default_factory=dict)
    """What tells it from others of its name."""

    @property
    def key(self) -> tuple[str, Json]:
        """What makes it another one."""
        return self.kind, self.id


@dataclass(frozen=True, slots=True)
class Mention:
    """A place of a text that names a record, or several of which nobody knows which is meant."""

    text: str
    """As the text writes it."""
    start: int
    end: int
    records: tuple[Record, ...]
    exact: bool

    @property
    def ambiguous(self) -> bool:
        """Whether it must be asked which one is meant."""
        return len(self.records) > 1


class Unreadable(ValueError):
    """A tool's answer is no list of records; the text says why."""


def records(
    found: Json, *, kind: str, items: str, id_field: str, name_fields: Sequence[str]
) -> tuple[Sequence[Record], int]:
    """The records of a tool's answer, and how many are left out because they follow `MAX_RECORDS`.

    What has no id or no name is passed over. `items` is an RFC 6901 pointer to the list. Raises `Unreadable`.
    """
    listed = _at(found, items)
    if not isinstance(listed, list):
        raise Unreadable(f"there is no list of records at {items or 'the top of the answer'!r}")
    read = (_record(one, kind, id_field, name_fields) for one in listed[:MAX_RECORDS] if isinstance(one, Mapping))
    return [one for one in read if one is not None], max(0, len(listed) - MAX_RECORDS)


class Names:
    """Records by their names, ready to be looked for."""

    def __init__(self, known: Iterable[Record]) -> None:
        self._by_name: dict[str, dict[tuple[str, Json], Record]] = {}
        for record in known:
            for name in record.names:
                short = written.normalised(name)
                if len(short) >= MIN_NAME:
                    self._by_name.setdefault(short, {}).setdefault(record.key, record)
        beginnings: dict[str, set[int]] = {}
        for name in self._by_name:
            beginnings.setdefault(name[:MIN_NAME], set()).add(len(name))
        self._lengths = {begin: sorted(lengths, reverse=True) for begin, lengths in beginnings.items()}
        self._by_words: dict[int, list[str]] = {}
        for name in self._by_name:
            words = len(list(written.words(name)))
            if len(name) >= MIN_FUZZY and 1 <= words <= MAX_WORDS and not any(map(written.without_borders, name)):
                self._by_words.setdefault(words, []).append(name)

    def exact(self, text: str) -> Iterator[tuple[int, int, Sequence[Record]]]:
        """Where a normalised text has a name between word borders, and whose it is; names may overlap."""
        for start in range(len(text) - MIN_NAME + 1):
            lengths = self._lengths.get(text[start : start + MIN_NAME])
            if lengths is None or written.joined(text, start):
                continue
            for length in lengths:
                end = start + length
                found = self._by_name.get(text[start:end])
                if found is not None and end <= len(text) and not written.joined(text, end):
                    yield start, end, list(found.values())

    def like(self, text: str, words: int) -> Iterator[tuple[float, Sequence[Record]]]:
        """Names of as many words that are like a normalised text, by their likeness from 0 to 1."""
        names = self._by_words.get(words, ())
        near = process.extract(
            text, names, scorer=OSA.normalized_similarity, processor=None, score_cutoff=THRESHOLD, limit=None
        )
        for name, likeness, _ in near:
            yield likeness, list(self._by_name[name].values())

    @property
    def longest(self) -> int:
        """Words of the longest name that may be compared."""
        return max(self._by_words, default=0)


def mentions(text: str, sources: Sequence[Names]) -> Sequence[Mention]:
    """The records that a text names, each where it does so first, in their order and at most `MAX_MENTIONS`."""
    normal = written.Normal.of(text)
    found = _longest(
        ((end - start, start, end, whose) for names in sources for start, end, whose in names.exact(normal.text)),
        exact=True,
    )
    found = [*found, *_compared(normal.text, sources, [(one.start, one.end) for one in found])]
    first: dict[tuple[tuple[str, Json], ...], Mention] = {}
    for one in sorted(found, key=lambda one: one.start):
        start, end = normal.span(one.start, one.end)
        mention = Mention(text[start:end], start, end, one.records, one.exact)
        first.setdefault(tuple(record.key for record in one.records), mention)
    return list(first.values())[:MAX_MENTIONS]


@dataclass(frozen=True, slots=True)
class _Place:
    """A mention in the normalised text."""

    start: int
    end: int
    records: tuple[Record, ...]
    exact: bool


def _longest(found: Iterable[tuple[float, int, int, Sequence[Record]]], *, exact: bool) -> list[_Place]:
    """Of places that overlap those of the highest rank, then the longest, then the first; one place may have several."""
    whose: dict[tuple[float, int, int], dict[tuple[str, Json], Record]] = {}
    for rank, start, end, records_ in found:
        whose.setdefault((rank, start, end), {}).update((one.key, one) for one in records_)
    taken: list[_Place] = []
    for rank, start, end in sorted(whose, key=lambda one: (-one[0], one[1] - one[2], one[1])):
        if all(end <= other.start or other.end <= start for other in taken):
            taken.append(_Place(start, end, tuple(whose[rank, start, end].values()), exact))
            if len(taken) == MAX_PLACES:
                break
    return taken


def _compared(text: str, sources: Sequence[Names], taken: Sequence[tuple[int, int]]) -> Sequence[_Place]:
    words = list(written.words(text))[:MAX_COMPARED]
    longest = max((names.longest for names in sources), default=0)
    found: list[tuple[float, int, int, Sequence[Record]]] = []
    for first, (start, _) in enumerate(words):
        for count in range(1, min(longest, len(words) - first) + 1):
            end = words[first + count - 1][1]
            if any(start < other_end and other < end for other, other_end in taken):
                break
            if end - start >= MIN_FUZZY - 1 and not any(map(written.without_borders, text[start:end])):
                found += _nearest(text[start:end], start, end, count, sources)
    return _longest(found, exact=False)


def _nearest(
    words: str, start: int, end: int, count: int, sources: Sequence[Names]
) -> Iterator[tuple[float, int, int, Sequence[Record]]]:
    near = [one for names in sources for one in names.like(words, count)]
    best = max((likeness for likeness, _ in near), default=0.0)
    for likeness, whose in near:
        if likeness >= best - MARGIN:
            yield best, start, end, whose


def _record(one: Mapping[str, Json], kind: str, id_field: str, name_fields: Sequence[str]) -> Record | None:
    record_id = one.get(id_field)
    if not isinstance(record_id, str | int | float) or isinstance(record_id, bool):
        return None
    if not 0 < len(str(record_id)) <= MAX_NAME:
        return None
    values = (one.get(field_) for field_ in name_fields)
    names = [
        str(name)[:MAX_NAME]
        for value in values
        for name in (value if isinstance(value, list) else [value])
        if _is_name(name)
    ]
    if not names:
        return None
    details = {
        name: value
        for name, value in one.items()
        if name not in (id_field, *name_fields) and isinstance(value, str | int | float) and len(str(value)) <= MAX_DETAIL
    }
    return Record(kind, record_id, tuple(names[:MAX_NAMES]), dict(list(details.items())[:MAX_DETAILS]))


def _is_name(value: Json) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip() != ""


def _at(value: Json, pointer: str) -> Json:
    """What an RFC 6901 pointer points to. Raises `Unreadable`."""
    for part in pointer.split("/")[1:]:
        step = part.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (LookupError, TypeError, ValueError):
            raise Unreadable(f"the answer has nothing at {pointer!r}") from None
    return value
