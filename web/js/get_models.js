// The button Get models of the loader nodes: it opens a dialog, shows the download in the node, and fills in the file.
// Nothing is asked of the internet by this page: the host's route fetches, and only what the dialog was told to.

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { openDialog } from "./get_models_dialog.js";
import { bytes, duration, text } from "./get_models_texts.js";

const ROUTE = "/latentsync/models";
const EVENT = "latentsync.models";
const LOADERS = {
  LatentSyncLoadModel: "checkpoint",
  LatentSyncLoadMuseTalkModel: "checkpoint",
  LatentSyncLoadWhisper: "whisper",
  LatentSyncLoadVAE: "vae",
};
const BUTTON_HEIGHT = 26; // pixels; a failure needs a few lines more
const ERROR_HEIGHT = 96;

const rows = new Map(); // node -> what is shown in it
let clicked = null; // the node whose button started the download
let shown = 0; // when the latest status was so: the answer to a click may come after the news of its end

async function post(path, body) {
  const answer = await api.fetchApi(`${ROUTE}/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const reply = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(reply.error ?? `HTTP ${answer.status}`);
  return reply;
}

class Row {
  // The button; while files come, a bar with a button to cancel; after a failure, the sentence that says why.
  constructor(node) {
    this.node = node;
    this.height = BUTTON_HEIGHT;
    this.element = document.createElement("div");
    this.element.className = "latentsync-get-models";
    this.button = this.add("button", "");
    this.button.type = "button";
    this.button.addEventListener("click", () => this.click());
    this.bar = this.add("div", "latentsync-bar");
    this.label = document.createElement("span");
    this.cancel = document.createElement("button");
    this.cancel.type = "button";
    this.cancel.addEventListener("click", () => post("cancel", {}).catch((error) => this.fail(error.message)));
    this.bar.append(this.label, this.cancel);
    this.message = this.add("div", "latentsync-message");
    this.message.setAttribute("role", "alert");
    this.idle();
  }

  add(tag, name) {
    const element = document.createElement(tag);
    element.className = name;
    this.element.append(element);
    return element;
  }

  async click() {
    try {
      const answer = await api.fetchApi(`${ROUTE}?loader=${this.node.comfyClass}`);
      const listed = await answer.json();
      if (!answer.ok) throw new Error(listed.error ?? `HTTP ${answer.status}`);
      const order = await openDialog(listed);
      if (!order) return;
      clicked = this.node;
      show(await post("download", { loader: this.node.comfyClass, ...order }));
    } catch (error) {
      this.fail(error.message);
    }
  }

  idle() {
    this.button.textContent = text("button");
    this.button.title = text("buttonHint");
    this.cancel.textContent = text("cancel");
    this.state(BUTTON_HEIGHT, { button: true });
  }

  progress(status) {
    const share = status.total ? status.done / status.total : 0;
    const file = status.stage === "round" ? text("rounding", { file: status.file }) : status.file;
    const number = status.files > 1 ? `${status.number}/${status.files} ` : "";
    const left = status.seconds_left === null ? "" : `, ${text("left", { time: duration(status.seconds_left) })}`;
    this.label.textContent = `${Math.floor(100 * share)} %${left} ${number}${file}`;
    this.label.title = status.stage === "download" ? `${bytes(status.done)} / ${bytes(status.total)}` : "";
    this.bar.style.setProperty("--share", `${100 * share}%`);
    this.state(BUTTON_HEIGHT, { bar: true });
  }

  fail(sentence) {
    this.idle();
    this.message.textContent = sentence;
    this.message.title = sentence;
    this.state(ERROR_HEIGHT, { button: true, message: true });
  }

  state(height, shown) {
    for (const part of ["button", "bar", "message"]) this[part].hidden = !shown[part];
    const taller = height - this.height;
    if (!taller) return;
    this.height = height;
    const { node } = this;
    node.setSize([node.size[0], Math.max(node.computeSize()[1], node.size[1] + taller)]);
    node.setDirtyCanvas(true, true);
  }
}

function show(status) {
  if (status.at < shown) return;
  shown = status.at;
  for (const [node, row] of rows) {
    if (node.comfyClass !== status.loader) continue;
    if (status.state === "running") row.progress(status);
    else if (status.state === "failed") row.fail(status.error);
    else if (status.state !== "idle") row.idle();
  }
  if (status.state === "done") fillIn(status);
}

async function fillIn(status) {
  // The node that was clicked takes the new file, and so does any loader whose own is not there.
  await app.refreshComboInNodes();
  const names = Object.values(status.fetched);
  for (const node of rows.keys()) {
    const widget = node.widgets?.find((entry) => entry.name === LOADERS[node.comfyClass]);
    const offered = widget?.options?.values ?? [];
    const fitting = names.find((name) => offered.includes(name) && goesInto(node, name, status));
    if (!fitting || (offered.includes(widget.value) && node !== clicked)) continue;
    widget.value = fitting;
    widget.callback?.(fitting);
    node.setDirtyCanvas(true, true);
  }
  if (status.loader === clicked?.comfyClass) clicked = null;
}

function goesInto(node, name, status) {
  const published = Object.keys(status.fetched).find((key) => status.fetched[key] === name);
  if (node.comfyClass === "LatentSyncLoadWhisper") return published.startsWith("whisper");
  if (node.comfyClass === "LatentSyncLoadVAE") return published.startsWith("sd-vae");
  const musetalk = node.comfyClass === "LatentSyncLoadMuseTalkModel";
  return published.startsWith(musetalk ? "musetalk" : "latentsync");
}

function addStyle() {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("./get_models.css", import.meta.url).href;
  document.head.append(style);
}

app.registerExtension({
  name: "latentsync.getModels",

  async setup() {
    addStyle();
    api.addEventListener(EVENT, ({ detail }) => show(detail));
    const answer = await api.fetchApi(`${ROUTE}/status`);
    if (!answer.ok) return;
    const status = await answer.json();
    if (status.state === "running") show(status);
  },

  nodeCreated(node) {
    if (!(node.comfyClass in LOADERS)) return;
    const row = new Row(node);
    const widget = node.addDOMWidget("get_models", "latentsync_get_models", row.element, {
      serialize: false,
      hideOnZoom: true,
      getMinHeight: () => row.height,
      getMaxHeight: () => row.height,
      margin: 4,
    });
    widget.serialize = false; // a saved workflow has the same values with the button and without it
    rows.set(node, row);
    const removed = node.onRemoved;
    node.onRemoved = function (...rest) {
      rows.delete(node);
      return removed?.apply(this, rest);
    };
  },
});
