"""What can be read off a message's words in English and Chinese: slash commands, orders to change something. Pure."""

import re
import unicodedata

from headrace_router.model import Intent

COMMANDS = {
    "chat": Intent.CHAT,
    "聊天": Intent.CHAT,
    "闲聊": Intent.CHAT,
    "qa": Intent.QA,
    "问答": Intent.QA,
    "查询": Intent.QA,
    "build": Intent.BUILD,
    "生成": Intent.BUILD,
    "搭建": Intent.BUILD,
    "构建": Intent.BUILD,
    "quiz": Intent.QUIZ,
    "出题": Intent.QUIZ,
    "测验": Intent.QUIZ,
    "patch": Intent.PATCH,
    "修改": Intent.PATCH,
}
"""What may follow a slash at the start of a message."""

HEAD_CHARS = 200
"""An order stands at the start of a message; the rest is what it speaks of."""

_SLASH = re.compile(
    r"/\s?(?:(?P<latin>{})(?=[\s:,]|\Z)|(?P<cjk>{}))".format(
        "|".join(name for name in COMMANDS if name.isascii()),
        "|".join(name for name in COMMANDS if not name.isascii()),
    )
)

_POLITE = (
    r"(?:(?:please|pls|kindly|now|then|next|also|and|ok|okay|just|first|can you|could you|would you|will you|help me|"
    r"i want you to|i'd like you to|let's|lets)[ ,:]+)*"
)
_VERB = (
    r"(?:change|replace|rename|remove|delete|drop|add|insert|append|prepend|update|edit|modify|adjust|tweak|fix|correct|"
    r"rewrite|rephrase|reword|shorten|trim|cut|expand|extend|lengthen|move|swap|reorder|rearrange|sort|hide|merge|split|"
    r"undo|revert|restore|resize|simplify|polish|colou?r|capitali[sz]e|translate|take out|get rid of|turn the|put the|"
    r"(?:make|set|turn|put) (?:it|this|that|them|the|everything|all)|(?:use|try) (?:a|an|the|more|less|another))\b"
)
_ENGLISH_ORDER = re.compile(rf"{_POLITE}{_VERB}")

_CHANGE = (
    "改|换|删|去掉|去除|移到|移动|调整|调到|调成|替换|增加|新增|添加|加上|加个|加一|加粗|更新|更正|修正|修复|缩短|缩小|放大|精简|压缩|"
    "扩写|展开|重写|润色|翻译|翻成|译成|撤销|恢复|隐藏|合并|拆分|拆成|排序|排列|突出|居中|不要了|互换|对调|放到|写成|变成|写短|写长"
)
_CHINESE_POLITE = r"(?:请|麻烦|帮我|帮忙|能不能|可不可以|可以|能否|你|再|先|就|给我|我想|我要|现在|然后|另外|顺便|,)*"
_CHINESE_ORDER = re.compile(rf"{_CHINESE_POLITE}(?:[把将].{{1,60}}?(?:{_CHANGE})|(?:{_CHANGE}))")
_CHINESE_RESULT = re.compile(
    r"(?:改成|改为|改名|换成|换为|替换为|调成|不要了|删了|删掉|去掉|移到|放到|加粗|改一下|改短|改长)"
)
_CHINESE_QUESTION = re.compile(r"什么|哪|谁|多少|为何|为什么|怎么|如何|是否|有没有|是不是|几[天个条种次]")


def slash_command(message: str) -> Intent | None:
    """The intent of the command that the message starts with, None without one. Full-width letters count as letters."""
    match = _SLASH.match(_head(message))
    return COMMANDS[match["latin"] or match["cjk"]] if match else None


def tells_to_change(message: str) -> bool:
    """Whether the message begins with an order to change what is there, or in Chinese says what it shall become."""
    head = _head(message)
    if _ENGLISH_ORDER.match(head):
        return True
    if _CHINESE_QUESTION.search(head):
        return False
    return bool(_CHINESE_ORDER.match(head) or _CHINESE_RESULT.search(head))


def _head(message: str) -> str:
    return unicodedata.normalize("NFKC", message.lstrip()[:HEAD_CHARS]).casefold()
