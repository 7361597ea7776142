"""Twenty requests for a plan, and what a plan for each has to have. The tools are a school's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace_blueprint.tools import Tool
from headrace_planner.model import Entity


def _tool(name: str, description: str, required: Sequence[str], **properties: Any) -> Tool:
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return Tool(name, description, schema)


CLASS_ID = {"type": "string", "description": "Of a class, such as c-3b."}
TERM = {"enum": ["midterm", "final"]}

TOOLS = (
    _tool("school.list_students", "The students of a class: id and name.", ["class_id"], class_id=CLASS_ID),
    _tool(
        "school.list_grades",
        "The grades of a class in a term: student, subject, score.",
        ["class_id", "term"],
        class_id=CLASS_ID,
        term=TERM,
    ),
    _tool("school.get_student", "One student: name, grades, absences.", ["student_id"], student_id={"type": "string"}),
    _tool("school.list_classes", "All classes: id, name, teacher.", []),
    _tool("library.search_books", "Books of the library on a topic.", ["topic"], topic={"type": "string"}),
    _tool("canteen.menu", "The canteen's menu of a day.", [], day={"type": "string"}),
)
CLASS = Entity("class", "string", "3B")
OTHER_CLASS = Entity("class", "string", "3A", 1)
STUDENT = Entity("student", "string", "Ann")


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and what its plan has to have."""

    message: str
    entities: Sequence[Entity] = ()
    tools: Sequence[str] = ()
    """Each of these is called, in a map or not."""
    maps: bool = False
    """Something is done for each item of a list."""
    retrieves: bool = False
    """Documents are searched, by a node or by the tool."""
    slots: int = 1
    """So many sections at least."""
    mentions: Sequence[str] = ()
    """References or names that the plan has somewhere."""


CASES: Sequence[Case] = (
    Case("A report on class 3B: its midterm grades, strengths and weak points", (CLASS,), ("school.list_grades",), slots=2),
    Case("做一份3B班期中成绩的分析报告，包括优势和薄弱点", (CLASS,), ("school.list_grades",), slots=2),
    Case("Write a short comment for each student of 3B", (CLASS,), ("school.list_students",), maps=True),
    Case("给3B班的每个学生写一段评语", (CLASS,), ("school.list_students",), maps=True),
    Case(
        "A page on Ann: her grades, her absences and what to talk about with her parents",
        (STUDENT,),
        ("school.get_student",),
        slots=2,
    ),
    Case("为学生Ann写一页家长会的说明，包括成绩和建议", (STUDENT,), ("school.get_student",), slots=2),
    Case(
        "Compare the final grades of 3B and 3A", (CLASS, OTHER_CLASS), ("school.list_grades",), mentions=("class_all[1]",)
    ),
    Case("比较3B班和3A班的期末成绩", (CLASS, OTHER_CLASS), ("school.list_grades",), mentions=("class_all[1]",)),
    Case(
        "Which students of 3B scored less than 60 in the midterm? List them and advise their teacher",
        (CLASS,),
        ("school.list_grades",),
        mentions=("60",),
    ),
    Case("找出3B班期中考试不及格（低于60分）的学生，并给老师建议", (CLASS,), ("school.list_grades",), mentions=("60",)),
    Case("An overview of all classes of the school and their teachers", (), ("school.list_classes",)),
    Case("列出学校所有班级和班主任，写一段介绍", (), ("school.list_classes",)),
    Case("A reading list on volcanoes with a reason for each book", (), ("library.search_books",), maps=True),
    Case("推荐关于恐龙的书，每本写一句推荐理由", (), ("library.search_books",), maps=True),
    Case("What do our documents say about data protection? A summary and a list of duties", retrieves=True, slots=2),
    Case("根据我们的资料，总结请假制度，并列出三个注意事项", retrieves=True, slots=2),
    Case("A page about the water cycle: an introduction, the stages, and three questions to think about", slots=3),
    Case("做一个介绍光合作用的页面：概述、过程、意义", slots=3),
    Case("Today's canteen menu as a friendly notice", (), ("canteen.menu",)),
    Case("把今天食堂的菜单写成一则温馨的通知", (), ("canteen.menu",)),
)
