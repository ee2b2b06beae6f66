"""The help pages as the host's page finds them: in both languages, with pictures and links to one another."""

import asyncio
import urllib.request

import pytest
from record_nodes import SCHEMA, read

DOCS = "/extensions/latentsync/docs"
# The page shows help in an element of this class; a click there on a link to another page of ours.
CLICK = """(async () => {
  const tab = {};
  let shown = null;
  window.open = () => tab;
  URL.createObjectURL = blob => { shown = blob; return 'blob:page'; };
  const help = document.body.appendChild(document.createElement('div'));
  help.className = 'node-help-content';
  help.innerHTML = '<a href="LatentSyncSampler.md" target="_blank">next</a>';
  const stayed = !help.firstChild.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}));
  for (let i = 0; i < 100 && !tab.location; i++) await new Promise(resolve => setTimeout(resolve, 100));
  help.remove();
  return [stayed && tab.location === 'blob:page', await shown?.text()];
})()"""


@pytest.mark.parametrize("place", ["{}.md", "{}/zh.md", "{}.jpg"])
def test_the_host_serves_what_its_page_asks_for(host, place):
    for node in read(SCHEMA):
        with urllib.request.urlopen(f"{host.address}{DOCS}/{place.format(node)}", timeout=30) as answer:
            assert answer.status == 200 and len(answer.read()) > 200


def test_a_link_leads_to_the_other_nodes_page(host, chromium):
    from screenshot_workflow import open_comfyui

    async def click():
        async with open_comfyui(host.address, chromium) as page:
            return await page.run(CLICK)

    stayed, shown = asyncio.run(click())
    assert stayed and shown.startswith("# LatentSync Sampler\n"), shown
