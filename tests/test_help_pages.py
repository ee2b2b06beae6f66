"""Every node's help page in both languages: all it has is named, it quotes what nodes say, its links lead somewhere."""

import ast
import re
from pathlib import Path

import pytest
from record_nodes import CHECKOUT, LOCALES, SCHEMA, read

DOCS = CHECKOUT / "web" / "docs"
NODES = list(read(SCHEMA))
PAGES = {"en": "{}.md", "zh": "{}/zh.md"}  # where the host looks for them, below DOCS
MOST_PICTURE_BYTES = 100_000
QUOTED = re.compile(r'"([^"]+)"')
VARIABLE = re.compile(
    r"…|\d[\d.:x-]*|'[^']*'|\{\}|%[ds]|MuseTalk|LatentSync"
)  # in a quoted message, and in the source of one
LEAST_LETTERS = 12  # of a part of a message that tells it from others


def page(language: str, node: str) -> str:
    return (DOCS / PAGES[language].format(node)).read_text(encoding="utf-8")


def quoted(text: str) -> list[str]:
    """The messages that a page quotes in its first column of what goes wrong."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [message for row in rows for message in QUOTED.findall(row.split(" | ")[0]) if " " in message]


@pytest.fixture(scope="module")
def said() -> str:
    """Every text in the sources of nodes and library, with {} for what is filled in."""
    texts = []
    for folder in ("nodes", "latentsync_core"):
        for path in Path(CHECKOUT, folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
                    texts.append("".join(parts))
    return "\n".join(texts)


@pytest.mark.parametrize("language", PAGES)
def test_a_page_names_all_that_its_node_has(language):
    titles = read(LOCALES / language / "nodeDefs.json")
    for node, recorded in read(SCHEMA).items():
        text = page(language, node)
        assert text.startswith(f"# {titles[node]['display_name']}\n"), node
        for name in [*recorded["inputs"], *(name for name, _ in recorded["outputs"])]:
            assert f"`{name}`" in text, f"{node} ({language}) does not mention {name}"
        for options in (entry.get("options", ()) for entry in recorded["inputs"].values()):
            for option in options:
                assert f"`{option}`" in text, f"{node} ({language}) does not explain {option}"


@pytest.mark.parametrize("language", PAGES)
def test_a_page_shows_its_node_and_leads_to_the_next(language):
    for node in NODES:
        text = page(language, node)
        assert f"]({node}.jpg)" in text, node
        links = re.findall(r"\]\((\w+)\.md\)", text)
        assert links and node not in links and set(links) <= set(NODES), f"{node} ({language}): {links}"
    pictures = [DOCS / f"{node}.jpg" for node in NODES]
    assert max(picture.stat().st_size for picture in pictures) <= MOST_PICTURE_BYTES


def test_chinese_pages_lead_and_quote_as_the_english_ones_do():
    for node in NODES:
        english, chinese = page("en", node), page("zh", node)
        assert quoted(chinese) == quoted(english), node
        assert re.findall(r"\]\((\w+)\.md\)", chinese) == re.findall(r"\]\((\w+)\.md\)", english), node
        assert chinese.count("\n| ") == english.count("\n| "), f"{node}: a row is missing in one of the tables"


@pytest.mark.parametrize("node", NODES)
def test_what_a_page_quotes_is_what_nodes_say(said, node):
    for message in quoted(page("en", node)):
        parts = [part.strip(" .,;:()") for part in VARIABLE.split(message)]
        telling = [part for part in parts if len(part) >= LEAST_LETTERS]
        assert all(part in said for part in telling), f"{node} quotes {message!r}"
