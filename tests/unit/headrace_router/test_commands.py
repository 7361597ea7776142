import pytest
from headrace_router.commands import COMMANDS, HEAD_CHARS, slash_command, tells_to_change
from headrace_router.model import Intent
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("message", "intent"),
    [
        ("/chat hello", Intent.CHAT),
        ("/qa", Intent.QA),
        ("  /Build a page", Intent.BUILD),
        ("/QUIZ: fractions", Intent.QUIZ),
        ("/patch\nmake it blue", Intent.PATCH),
        ("/quiz 水循环", Intent.QUIZ),
        ("/聊天", Intent.CHAT),
        ("/问答 年假几天", Intent.QA),
        ("/生成一个页面", Intent.BUILD),
        ("/出题光合作用", Intent.QUIZ),
        ("/修改 标题", Intent.PATCH),
        ("/quiz 全角", Intent.QUIZ),
        ("/ quiz me", Intent.QUIZ),
    ],
)
def test_a_command_at_the_start_is_read(message: str, intent: Intent) -> None:
    assert slash_command(message) is intent


@pytest.mark.parametrize(
    "message",
    ["quiz", "use /quiz", "/builder", "/build/output.txt", "/etc/passwd", "/", "//", "/qa_notes", "and/or", "/帮助", ""],
)
def test_what_only_looks_like_a_command_is_none(message: str) -> None:
    assert slash_command(message) is None


@given(st.sampled_from(sorted(COMMANDS)), st.text(max_size=50))
def test_whatever_follows_a_command_and_a_space_changes_nothing(name: str, rest: str) -> None:
    assert slash_command(f"/{name} {rest}") is COMMANDS[name]


@pytest.mark.parametrize(
    "message",
    [
        "Change the title to Results",
        "please remove the last chart",
        "Could you make it shorter?",
        "ok, now swap the two tables",
        "Can you please fix the date",
        "Add a row for maths",
        "use a friendlier tone",
        "把标题改成“成绩”",
        "请将饼图换成柱状图",
        "删掉第三段",
        "帮我加一列缺勤次数",
        "标题改为春季报告",
        "最后一段不要了",
        "能不能把第二段写短一点",
        "麻烦调整一下布局",
    ],
)
def test_orders_to_change_are_recognised(message: str) -> None:
    assert tells_to_change(message)


@pytest.mark.parametrize(
    "message",
    [
        "What changed since last year?",
        "Who can remove a user, according to the handbook?",
        "Make a quiz about change management",
        "Create a page on climate change",
        "hello",
        "The additive is safe",
        "addition is easy",
        "为什么标题改成了红色?",
        "制度里关于加班是怎么规定的",
        "给我出10道选择题",
        "谁把这段删掉了?",
        "你好",
        "",
    ],
)
def test_questions_and_other_wishes_are_not_orders_to_change(message: str) -> None:
    assert not tells_to_change(message)


def test_only_the_head_of_a_message_is_read() -> None:
    pasted = "这是会议记录。" * HEAD_CHARS
    assert not tells_to_change(pasted + "标题改成成绩")
    assert tells_to_change("标题改成成绩。" + pasted)


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    assert slash_command(text) in {None, *Intent}
    assert tells_to_change(text) in {True, False}
