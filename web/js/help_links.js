// Links between the help pages of our nodes: the host opens every link in a new tab and asks its own root for the page.
// A click shows the other node's help in the place of this one; where that place follows the selected node, in a tab.

import { app } from "../../../scripts/app.js";

const PAGE = /^(LatentSync\w+)\.md$/; // as the pages link to one another, and as they lie in web/docs
const HELP = ".node-help-content"; // of the host's page

function stores() {
  const root = document.querySelector("#vue-app")?.__vue_app__;
  return root?.config.globalProperties.$pinia?._s ?? new Map();
}

async function openPage(name) {
  const help = stores().get("nodeHelp");
  const node = stores().get("nodeDef")?.nodeDefsByName?.[name];
  if (help?.isHelpOpen && node) {
    help.openHelp(node);
    return;
  }
  const chinese = app.extensionManager?.setting?.get("Comfy.Locale") === "zh";
  const tab = window.open("", "_blank"); // at once, or the browser takes it for an advertisement
  const answer = await fetch(new URL(`../docs/${name}${chinese ? "/zh" : ""}.md`, import.meta.url));
  // The host serves .md as a download.
  tab.location = URL.createObjectURL(new Blob([await answer.text()], { type: "text/plain;charset=utf-8" }));
}

app.registerExtension({
  name: "latentsync.helpLinks",
  setup() {
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.(`${HELP} a`);
      const page = PAGE.exec(link?.getAttribute("href") ?? "");
      if (!page) return;
      event.preventDefault();
      openPage(page[1]);
    });
  },
});
