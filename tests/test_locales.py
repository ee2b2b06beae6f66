"""Every text of the canvas exists in every language, and belongs to an input or output that exists."""

import re

import pytest
from record_nodes import LOCALES, SCHEMA, keys, read

WEB = LOCALES.parent / "web"
LANGUAGES = sorted(folder.name for folder in LOCALES.iterdir())
SCHEMA_PARTS = ("inputs", "outputs")


def test_english_and_chinese_are_there():
    assert LANGUAGES == ["en", "zh"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_texts_belong_to_the_recorded_nodes(language):
    schema, texts = read(SCHEMA), read(LOCALES / language / "nodeDefs.json")
    assert list(texts) == list(schema)
    for node_id, node in schema.items():
        assert list(texts[node_id]["inputs"]) == list(node["inputs"]), node_id
        assert list(texts[node_id]["outputs"]) == [str(slot) for slot in range(len(node["outputs"]))], node_id


@pytest.mark.parametrize("name", ["nodeDefs.json", "main.json"])
def test_chinese_says_all_that_english_says_and_no_more(name):
    assert keys(read(LOCALES / "zh" / name)) == keys(read(LOCALES / "en" / name))


@pytest.mark.parametrize(
    ("group", "scripts", "named"),
    [
        ("getModels", "get_models*.js", {"file", "size", "licence", "source"}),
        ("chooseFace", "*face*.js", set()),
        ("dropFiles", "drop_files.js", set()),
    ],
)
def test_what_is_added_to_the_page_has_all_its_words(group, scripts, named):
    written = "".join(path.read_text(encoding="utf-8") for path in sorted((WEB / "js").glob(scripts)))
    used = set(re.findall(r'(?<![\w.])text\("(\w+)"', written)) | named
    english = read(LOCALES / "en" / "main.json")["latentsync"][group]
    for language in LANGUAGES:
        words = read(LOCALES / language / "main.json")["latentsync"][group]
        assert set(words) == used
        for name, word in words.items():
            places = re.findall(r"<(\w+)>", english[name])
            assert sorted(re.findall(r"<(\w+)>", word)) == sorted(places), f"{language}: {name}"


def test_chinese_explains_every_option_by_the_word_on_the_canvas():
    texts = read(LOCALES / "zh" / "nodeDefs.json")
    for node_id in ("LatentSyncAudioChunks", "LatentSyncFaceBlend", "LatentSyncFaceEncode", "LatentSyncFaceTrack"):
        for name, recorded in read(SCHEMA)[node_id]["inputs"].items():
            for option in recorded.get("options", ()):
                assert option in texts[node_id]["inputs"][name]["tooltip"], f"{node_id}.{name}: {option}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_empty_or_holds_what_the_canvas_would_interpret(language):
    def texts(tree):
        return [text for below in tree.values() for text in texts(below)] if isinstance(tree, dict) else [tree]

    for text in texts(read(LOCALES / language / "nodeDefs.json")):
        assert text.strip()
        assert not re.search(r"[{}@|]", text), f"vue-i18n gives these signs a meaning of their own: {text}"
    if language == "zh":
        prose = [text for text in texts(read(LOCALES / "zh" / "nodeDefs.json")) if len(text) > 20]
        assert all(re.search(r"[\u4e00-\u9fff]", text) for text in prose)
