"""A user who types what they want into the canvas's node search finds the node that does it, first."""

import asyncio
import json

import pytest

WORDS = ("lip sync", "lipsync", "dub", "talking", "mouth", "wav2lip", "sync video audio")
FIRST = "LatentSync Lip Sync"
SEARCH = """(() => {
  const stores = document.querySelector('#vue-app').__vue_app__.config.globalProperties.$pinia._s;
  const search = stores.get('nodeDef').nodeSearchService;
  const names = words => search.searchNode(words, [], {limit: 3}).map(node => node.display_name);
  return Object.fromEntries(%s.map(words => [words, names(words)]));
})()"""


@pytest.fixture(scope="module")
def found(host, object_info, chromium) -> dict[str, list[str]]:
    """The names of the nodes that the page's own search lists for some words, best first."""
    if "search_aliases" not in object_info["LatentSyncLipSync"]:
        pytest.skip("this ComfyUI's nodes have no further words to be found by")
    from screenshot_workflow import open_comfyui

    async def search():
        async with open_comfyui(host.address, chromium) as page:
            return await page.run(SEARCH % json.dumps([*WORDS, "musetalk"]))

    return asyncio.run(search())


@pytest.mark.parametrize("words", WORDS)
def test_lip_sync_is_found_first(found, words):
    assert found[words][0] == FIRST


def test_musetalk_finds_its_loader_and_the_node_that_does_the_same(found):
    assert {"LatentSync Load MuseTalk Model", FIRST} <= set(found["musetalk"])
