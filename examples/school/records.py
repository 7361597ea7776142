"""The school's records: made from a seed, the same on every machine. Pure."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

SEED = "headrace"
TERMS = ("2025-autumn-midterm", "2025-autumn-final")
SUBJECTS: Mapping[str, Sequence[str]] = {
    "mathematics": ("linear equations", "quadratics", "geometry", "probability"),
    "physics": ("forces", "energy", "waves", "circuits"),
    "english": ("reading", "writing", "listening", "grammar"),
}
"""Each subject's topics; an exam has one mark for each."""

_GIVEN = (
    "Wei", "Mia", "Hao", "Lena", "Jun", "Sofia", "Lei", "Anna", "Ming", "Clara",
    "Yan", "Emil", "Xin", "Nora", "Tao", "Ida", "Qing", "Paul", "Rui", "Elsa",
    "Bo", "Maya", "Kai", "Vera", "Jing", "Leo", "Fang", "Alma", "Peng", "Hugo",
)  # fmt: skip
_FAMILY = ("Chen", "Novak", "Wang", "Berg", "Liu", "Silva", "Zhao", "Meyer", "Sun", "Rossi", "Huang")


class SchoolClass(NamedTuple):
    """A class. Two are called 3B: one of the junior and one of the senior school, on different campuses."""

    id: str
    name: str
    grade: int
    stage: str
    campus: str
    teacher: str
    size: int
    aliases: tuple[str, ...]


CLASSES = (
    SchoolClass("c-j2a", "2A", 8, "junior", "Riverside", "Ms Okafor", 26, ("Junior 2A", "初二A班")),
    SchoolClass("c-j3a", "3A", 9, "junior", "Riverside", "Mr Lindqvist", 28, ("Junior 3A", "初三A班")),
    SchoolClass("c-j3b", "3B", 9, "junior", "Riverside", "Ms Tan", 30, ("Junior 3B", "初三B班")),
    SchoolClass("c-s3b", "3B", 12, "senior", "Hilltop", "Mr Duarte", 24, ("Senior 3B", "高三B班")),
)


@dataclass(frozen=True, slots=True)
class Student:
    """A student. `seat` counts from 1 within the class, without a gap."""

    id: str
    name: str
    class_id: str
    seat: int


@dataclass(frozen=True, slots=True)
class Mark:
    """What a student reached in one topic of an exam, 0 to 100."""

    subject: str
    topic: str
    term: str
    score: int


@cache
def students(class_id: str) -> Sequence[Student]:
    """A class's students by seat; none for an unknown class."""
    found = next((one for one in CLASSES if one.id == class_id), None)
    if found is None:
        return ()
    offset = CLASSES.index(found) * 7
    return tuple(
        Student(
            id=f"{class_id.replace('c-', 's-')}-{seat:02}",
            name=f"{_GIVEN[(seat - 1 + offset) % len(_GIVEN)]} {_FAMILY[(seat * 3 + offset) % len(_FAMILY)]}",
            class_id=class_id,
            seat=seat,
        )
        for seat in range(1, found.size + 1)
    )


@cache
def student(student_id: str) -> Student | None:
    """One student."""
    return next((one for school_class in CLASSES for one in students(school_class.id) if one.id == student_id), None)


@cache
def marks(student_id: str) -> Sequence[Mark]:
    """All marks of a student by term, subject and topic. Who was ill on the day of an exam has none for its term."""
    one = student(student_id)
    if one is None:
        return ()
    return tuple(
        Mark(subject, topic, term, _score(one, subject, topic, term))
        for term in TERMS
        if not _was_ill(one, term)
        for subject, topics in SUBJECTS.items()
        for topic in topics
    )


def _was_ill(one: Student, term: str) -> bool:
    return one.seat == 17 and term == TERMS[1]


def _score(one: Student, subject: str, topic: str, term: str) -> int:
    """A talent, a topic's difficulty for the class, an exam's luck. Fractions and floats would differ between machines."""
    talent = 52 + _draw(one.id) % 38
    leaning = _draw(one.id, subject) % 15 - 7
    difficulty = _draw(one.class_id, topic) % 25 - 14
    luck = _draw(one.id, topic, term) % 17 - 8
    return max(0, min(100, talent + leaning + difficulty + luck))


def _draw(*names: str) -> int:
    return zlib.crc32("/".join((SEED, *names)).encode())
