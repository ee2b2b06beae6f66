// A video or audio file dropped on one of the pack's nodes: uploaded, and loaded by a node that is connected to it.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { textsOf } from "./texts.js";

const text = textsOf("dropFiles");
const LOADERS = {
  VIDEO: { type: "LoadVideo", widget: "file", height: 340, kind: "video/", endings: "mp4 mov m4v mkv webm avi mpg mpeg ts wmv flv" },
  AUDIO: { type: "LoadAudio", widget: "audio", height: 150, kind: "audio/", endings: "wav mp3 flac ogg opus m4a aac wma aiff" },
};
const GAP = 60, TITLE = 30; // pixels between nodes, and of a node's title
const TOO_LARGE = 413;

app.registerExtension({
  name: "LatentSync.DropFiles",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith("LatentSync")) return;
    const inputs = { ...nodeData.input?.required, ...nodeData.input?.optional };
    if (!Object.values(inputs).some(([type]) => type in LOADERS)) return;
    nodeType.prototype.onDragOver = function (event) {
      const files = [...(event.dataTransfer?.items ?? [])].filter((item) => item.kind === "file");
      return files.some((item) => slotsFor(this, [item]).length > 0);
    };
    nodeType.prototype.onDragDrop = async function (event) {
      const slots = slotsFor(this, [...(event.dataTransfer?.files ?? [])]);
      for (const { slot, file } of slots) await load(this, slot, file);
      return slots.length > 0;
    };
  },
});

/** Which input of a node takes which file; before a drop the page tells a file's type, but not its name. */
function slotsFor(node, files) {
  const taken = new Set();
  return files.flatMap((file) => {
    const wanted = Object.keys(LOADERS).find((type) => isOf(LOADERS[type], file));
    const open = node.inputs.map((input, slot) => ({ input, slot })).filter(({ input, slot }) => input.type === wanted && !taken.has(slot));
    const { slot } = open.find(({ input }) => input.link == null) ?? open[0] ?? {};
    taken.add(slot);
    return slot === undefined ? [] : [{ slot, file }];
  });
}

function isOf({ kind, endings }, { type, name }) {
  if (type) return type.startsWith(kind);
  return name === undefined || endings.split(" ").includes(name.split(".").pop().toLowerCase());
}

/** Upload a file, and have the loader before an input load it: the one that is connected, or a new one. */
async function load(node, slot, file) {
  const name = await upload(file);
  if (name === null) return;
  const { type, widget, height } = LOADERS[node.inputs[slot].type];
  const graph = node.graph;
  graph.beforeChange?.();
  const connected = node.inputs[slot].link == null ? null : node.getInputNode(slot);
  const loader = connected?.type === type ? connected : addLoader(node, slot, type, height);
  setFile(loader, loader.widgets.find((candidate) => candidate.name === widget), name);
  graph.afterChange?.();
  node.setDirtyCanvas(true, true);
}

function addLoader(node, slot, type, height) {
  const loader = window.LiteGraph.createNode(type);
  loader.pos = freePlace(node, loader.size[0], height);
  node.graph.add(loader);
  loader.connect(0, node, slot);
  return loader;
}

/** The highest free place left of a node. */
function freePlace(node, width, height) {
  const x = node.pos[0] - GAP - width;
  let y = node.pos[1];
  const others = node.graph.nodes.filter((other) => other.pos[0] < x + width && other.pos[0] + other.size[0] > x);
  for (const other of others.sort((a, b) => a.pos[1] - b.pos[1])) {
    const [top, bottom] = [other.pos[1] - TITLE, other.pos[1] + other.size[1]];
    if (y - TITLE < bottom && top < y + height) y = bottom + GAP / 2 + TITLE;
  }
  return [x, y];
}

function setFile(loader, widget, name) {
  const { values } = widget.options;
  if (Array.isArray(values) && !values.includes(name)) values.push(name);
  widget.value = name;
  widget.callback?.(name, app.canvas, loader);
}

/** The name by which loaders know an uploaded file; null, said on the page, where the server does not take it. */
async function upload(file) {
  const body = new FormData();
  body.append("image", file);
  const reply = await api.fetchApi("/upload/image", { method: "POST", body });
  if (reply.ok) {
    const { name, subfolder } = await reply.json();
    return subfolder ? `${subfolder}/${name}` : name;
  }
  const size = reply.status === TOO_LARGE ? text("tooLarge") : "";
  const detail = text("refused", { name: file.name, status: `${reply.status} ${reply.statusText}`, size });
  app.extensionManager.toast.add({ severity: "error", summary: "LatentSync", detail, life: 10000 });
  return null;
}
