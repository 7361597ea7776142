"""Which slots a sentence names, and sentences so plain that no model has to read them. English and Chinese. Pure."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from headrace_blueprint.model import Slot

from headrace_planner.patching.model import MAX_TITLE, Change
from headrace_planner.words import words

MAX_PLAIN_WORDS = 40
"""A longer sentence is never plain."""

_POLITE = frozenset(words("please pls can could you would the a an this that section slot part 请麻烦帮我你把将这那个部分"))
_HOW = _POLITE | frozenset(
    words("""
        make it more less much bit little slightly far very and rewrite rephrase reword redo shorten lengthen simplify
        expand polish improve tighten condense shorter longer short long brief briefer concise detailed detail simpler
        simple easier easy clearer clear plainer plain formal informal friendly friendlier polite professional serious
        funny funnier livelier lively warmer warm translate turn into in english chinese bullet bullets list table
        sentence sentences words
        写短长一点些更改得为成重新简单洁明详细精缩扩润色正式通俗易懂翻译英文中变再稍微下
    """)
)
"""Words that say only how a text is to be, or nothing. None of them adds, removes, compares, counts or refuses anything."""
_JOINING = frozenset(words("of on in at for with from by is are was be it its as not no 的了是不太也都还"))
"""Words that are in any sentence and any title."""
_REMOVE = frozenset(words("remove delete drop 删除去掉"))
_AND = frozenset(words("and both 和与及"))
_RENAME = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:please |pls )?(?:rename|retitle) (?:the )?(?P<old>.+?) (?:to|as|into) (?P<new>.+)",
        r"(?:请|麻烦|请你)?(?:把|将)?(?P<old>.+?)(?:的标题|的名字)?(?:改名|重命名|更名)(?:为|成|叫)(?P<new>.+)",
    )
)
_KIND = re.compile(r" (?:section|slot|part)\Z|(?:这个|这一)?部分\Z", re.IGNORECASE)
_QUOTED = re.compile(r"""["'“”‘’「『](?P<title>[^"'“”‘’「」『』]+)["'“”‘’」』]""")
_MORE = frozenset(words("and but then also while with so or both if not that which something better 和与及并且再但或更"))
"""Words after which a title may be over, and something else be asked for."""
MAX_PLAIN_TITLE_WORDS = 6
"""A longer title is plain in quotation marks only; each CJK character counts."""


def named(instruction: str, layout: Sequence[Slot]) -> Sequence[str]:
    """The slots whose title or id a sentence holds, in the layout's order; of a name within another, the longer."""
    found, _ = _split(instruction, layout)
    slots = set().union(*found.values())
    return [slot.slot for slot in layout if slot.slot in slots]


def plain(instruction: str, layout: Sequence[Slot]) -> Change | None:
    """The change that a sentence asks for if it says nothing but which slots, and how they shall be, that they shall go,
    or what one shall be called.

    Every word counts: with one that is neither, or with a name that two slots have, a model has to read the sentence.
    """
    said = words(instruction)
    if not said or len(said) > MAX_PLAIN_WORDS:
        return None
    if (renamed := _renamed(instruction, layout)) is not None:
        return renamed
    found, rest = _split(instruction, layout)
    if any(len(slots) > 1 or not set(name.split()) - _HOW for name, slots in found.items()):
        return None
    slots = tuple(slot.slot for slot in layout if any(slot.slot in each for each in found.values()))
    if not slots:
        slots = _meant(set(said) - _HOW, layout)
        rest = frozenset(said) & _HOW
    elif rest <= _POLITE | _REMOVE | _AND and rest & _REMOVE and len(slots) < len(layout):
        return Change(remove=slots)
    return Change(rewrite=slots) if slots and rest <= _HOW | _AND and rest & (_HOW - _POLITE) else None


def agrees(change: Change, instruction: str, layout: Sequence[Slot]) -> bool:
    """Whether all of a change is in the sentence's words: each slot and each added section shares one with it, and each
    input's new value is written there.
    """
    said = frozenset(words(instruction))
    telling = said - _HOW - _JOINING
    names = {slot.slot: frozenset(words(f"{slot.title} {slot.slot}")) for slot in layout}
    concerned = [names[slot] for slot in (*change.rewrite, *change.remove, *change.rename)]
    concerned += [frozenset(words(one.title)) for one in change.add]
    values = [frozenset(words(str(value))) for value in change.inputs.values()]
    return all(telling & each for each in concerned) and all(said >= each for each in values)


def _renamed(instruction: str, layout: Sequence[Slot]) -> Change | None:
    """The change that a sentence asks for if it says nothing but what one slot shall be called."""
    text = " ".join(instruction.split()).rstrip(".!。！")
    match = next((found for pattern in _RENAME if (found := pattern.fullmatch(text))), None)
    if match is None:
        return None
    title = _title(match["new"])
    old = {tuple(words(one)) for one in (match["old"], _KIND.sub("", match["old"]))}
    slots = [slot for slot in layout if {tuple(words(slot.title)), tuple(words(slot.slot))} & old]
    if len(slots) != 1 or not title or title == slots[0].title:
        return None
    return Change(rename={slots[0].slot: title})


def _title(text: str) -> str:
    """A title as a sentence writes it at its end; "" when it may be more than that."""
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        title = quoted["title"].strip()
        return title if len(title) <= MAX_TITLE else ""
    said = words(text)
    is_plain = re.fullmatch(r"[\w &/'-]+", text) and len(said) <= MAX_PLAIN_TITLE_WORDS and not set(said) & _MORE
    return text.strip() if is_plain and len(text) <= MAX_TITLE else ""


def _split(instruction: str, layout: Sequence[Slot]) -> tuple[Mapping[str, frozenset[str]], frozenset[str]]:
    """The names that a sentence holds, with the slots that bear each, and the words beside them."""
    bearers: dict[str, set[str]] = defaultdict(set)
    for slot in layout:
        for name in (slot.title, slot.slot):
            bearers[_spaced(words(name))].add(slot.slot)
    text = _spaced(words(instruction))
    found: dict[str, frozenset[str]] = {}
    for name in sorted(bearers, key=len, reverse=True):
        if name.strip() and name in text:
            found[name] = frozenset(bearers[name])
            text = text.replace(name, " | ")
    return found, frozenset(text.split()) - {"|"}


def _meant(subject: set[str], layout: Sequence[Slot]) -> tuple[str, ...]:
    """The one slot whose title or id has all of these words: "summary" where one is called "Summary of the class"."""
    found = {slot.slot for slot in layout for name in (slot.title, slot.slot) if subject <= set(words(name))}
    return tuple(found) if subject and len(found) == 1 else ()


def _spaced(found: Sequence[str]) -> str:
    return f" {' '.join(found)} "
