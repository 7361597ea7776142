"""The school's REST service. Its OpenAPI document is what Headrace makes tools of: one for each operation id."""

import hmac
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

from examples.school import records

MAX_PAGE = 100
T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Most records of the answer.")]
Offset = Annotated[int, Query(ge=0, description="Records to pass over: `next_offset` of the answer before.")]
Term = Annotated[str | None, Query(description=f"Only marks of this exam, such as {records.TERMS[0]}.")]
Subject = Annotated[str | None, Query(description="Only marks of this subject.")]


class Page(BaseModel, Generic[T]):
    """Some of the records, and where the next ones begin."""

    items: list[T]
    total: int
    next_offset: int | None = Field(description="Null at the end.")


class SchoolClass(BaseModel):
    """A class."""

    id: str
    name: str = Field(description="Not unique: there is a 3B in the junior and one in the senior school.")
    grade: int
    stage: str
    campus: str
    teacher: str
    size: int
    aliases: list[str]


class Student(BaseModel):
    """A student of a class."""

    id: str
    name: str
    class_id: str
    seat: int


class Mark(BaseModel):
    """What a student reached in one topic of an exam."""

    subject: str
    topic: str
    term: str
    score: int = Field(ge=0, le=100)


class Marks(Page[Mark]):
    """A student's marks."""

    student_id: str
    student_name: str


class Topic(BaseModel):
    """What is taught and examined in a subject."""

    subject: str
    topic: str


def create_app(token: str) -> FastAPI:
    """The service; each request must carry `Authorization: Bearer TOKEN`."""
    app = FastAPI(
        title="School records",
        version="1.0.0",
        description="Classes, students and marks of a school that does not exist.",
        dependencies=[Depends(_authorized(token))],
    )
    app.get("/classes", operation_id="list_classes", summary="List the classes")(_list_classes)
    app.get("/classes/{class_id}", operation_id="get_class", summary="Read a class")(_get_class)
    app.get("/classes/{class_id}/students", operation_id="list_students", summary="List a class's students by seat")(
        _list_students
    )
    app.get("/students/{student_id}/marks", operation_id="list_marks", summary="List a student's marks")(_list_marks)
    app.get("/topics", operation_id="list_topics", summary="List the topics that exams have marks for")(_list_topics)
    return app


def _authorized(token: str) -> Callable[..., None]:
    scheme = HTTPBearer(auto_error=False)

    def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)]) -> None:
        if given is None or not hmac.compare_digest(given.credentials.encode(), token.encode()):
            raise HTTPException(401, "send the header Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})

    return check


def _list_classes(
    name: Annotated[str | None, Query(description="Only classes with this name or alias.")] = None,
    limit: Limit = 20,
    offset: Offset = 0,
) -> Page[SchoolClass]:
    found = [_class(one) for one in records.CLASSES if name is None or name in (one.name, *one.aliases)]
    return Page[SchoolClass](**_page(found, limit, offset))


def _get_class(class_id: str) -> SchoolClass:
    return _class(_known_class(class_id))


def _list_students(class_id: str, limit: Limit = 20, offset: Offset = 0) -> Page[Student]:
    _known_class(class_id)
    found = [Student(id=one.id, name=one.name, class_id=one.class_id, seat=one.seat) for one in records.students(class_id)]
    return Page[Student](**_page(found, limit, offset))


def _list_marks(
    student_id: str, term: Term = None, subject: Subject = None, limit: Limit = 20, offset: Offset = 0
) -> Marks:
    student = records.student(student_id)
    if student is None:
        raise HTTPException(404, f"there is no student {student_id!r}")
    found = [
        Mark(subject=one.subject, topic=one.topic, term=one.term, score=one.score)
        for one in records.marks(student_id)
        if term in (None, one.term) and subject in (None, one.subject)
    ]
    return Marks(**_page(found, limit, offset), student_id=student.id, student_name=student.name)


def _list_topics(subject: Subject = None, limit: Limit = 20, offset: Offset = 0) -> Page[Topic]:
    found = [
        Topic(subject=name, topic=topic)
        for name, topics in records.SUBJECTS.items()
        if subject in (None, name)
        for topic in topics
    ]
    return Page[Topic](**_page(found, limit, offset))


def _class(one: records.SchoolClass) -> SchoolClass:
    return SchoolClass.model_validate(one._asdict() | {"aliases": list(one.aliases)})


def _known_class(class_id: str) -> records.SchoolClass:
    for one in records.CLASSES:
        if one.id == class_id:
            return one
    raise HTTPException(404, f"there is no class {class_id!r}")


def _page(found: Sequence[T], limit: int, offset: int) -> dict[str, list[T] | int | None]:
    end = offset + limit
    return {"items": list(found[offset:end]), "total": len(found), "next_offset": end if end < len(found) else None}
