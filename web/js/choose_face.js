// LatentSync Face Track and Lip Sync: their `face` chosen with the mouse, in a picker below the other widgets.
import { app } from "../../../scripts/app.js";
import { clipOf, FileFrames, RunFrames } from "./clip_frames.js";
import { FacePicker } from "./face_picker.js";
import { textsOf } from "./texts.js";

const text = textsOf("chooseFace");
const TRACK = "LatentSyncFaceTrack";
const NODES = [TRACK, "LatentSyncLipSync"];
const WIDGET = "latentsync_faces";
const MARGIN = 8; // pixels that the canvas leaves around the picker

app.registerExtension({
  name: "LatentSync.ChooseFace",
  nodeCreated(node) {
    if (NODES.includes(node.comfyClass)) addPicker(node);
  },
});

function addPicker(node) {
  const owner = new NodeOfPicker(node);
  const picker = (owner.picker = new FacePicker(owner));
  const widget = node.addDOMWidget(WIDGET, "latentsync_faces", picker.root, {
    serialize: false, // neither in a prompt
    hideOnZoom: false,
    margin: MARGIN,
    getMinHeight: () => owner.height() + 2 * MARGIN,
    getMaxHeight: () => (picker.isOpen ? undefined : owner.height() + 2 * MARGIN),
  });
  widget.serialize = false; // nor in a workflow
  node.latentsyncFacePicker = picker;
  if (node.comfyClass === TRACK) showInPlaceOfHost(node);

  after(node, "onExecuted", (output) => owner.ran(output));
  after(node, "onConnectionsChange", () => picker.refresh());
  after(node, "onResize", () => owner.sized());
  after(node, "onSerialize", (saved) => picker.isOpen && (saved.size = [node.size[0], owner.closedHeight]));
  after(owner.faceWidget, "callback", () => picker.draw());
  // Another tab of the page shows the node anew, with the outputs of its last run.
  new IntersectionObserver(() => owner.restore()).observe(picker.root);
  picker.root.addEventListener("pointerenter", () => owner.clipChanged() && picker.refresh());
  picker.root.addEventListener("wheel", (event) => owner.forwardWheel(event));
  picker.root.addEventListener("dragover", (event) => {
    if (node.onDragOver?.(event)) app.dragOverNode = node;
  });
}

/** Face Track's pictures are shown once: by the picker, not by the host as well. */
function showInPlaceOfHost(node) {
  node.hideOutputImages = true; // new nodes
  node.previewMediaType = "image";
  node.onDrawBackground = () => {}; // on the canvas
}

/** Have `call` called after a method that may be there. */
function after(object, name, call) {
  const before = object[name];
  object[name] = function (...values) {
    const result = before?.apply(this, values);
    call(...values);
    return result;
  };
}

/** What a picker asks of its node. */
class NodeOfPicker {
  closedHeight = 0; // of the node before the picker was opened

  constructor(node) {
    this.node = node;
  }

  get faceWidget() {
    return this.node.widgets.find((widget) => widget.name === "face");
  }

  face() {
    return String(this.faceWidget.value ?? "");
  }

  choose(face) {
    const { node, faceWidget } = this;
    node.graph?.beforeChange?.();
    faceWidget.value = face;
    faceWidget.callback?.(face, app.canvas, node);
    node.graph?.afterChange?.();
    node.setDirtyCanvas(true, true);
  }

  refusal() {
    const linked = (name) => this.node.inputs?.some((input) => input.name === name && input.link != null);
    if (linked("face")) return text("linked");
    return linked("face_mask") ? text("mask") : null;
  }

  async frames() {
    const source = clipOf(this.node);
    this.shownKey = source?.key;
    if (this.run && this.runKey === source?.key) return this.run;
    return source && FileFrames.open(source);
  }

  /** Whether the loader before the node has another file by now than the one that is shown. */
  clipChanged() {
    return clipOf(this.node)?.key !== this.shownKey;
  }

  /** A run has numbered the clip. */
  ran(output) {
    if (!output?.latentsync_faces?.length) return;
    this.shownOutput = output.latentsync_faces;
    this.run = new RunFrames(output);
    this.runKey = clipOf(this.node)?.key;
    const { picker } = this;
    if (this.node.comfyClass === TRACK && !picker.isOpen) picker.open(true);
    else picker.refresh();
  }

  restore() {
    const { node } = this;
    const output = app.nodeOutputs?.[node.id] ?? app.nodeOutputs?.[`${node.graph?.id}:${node.id}`];
    if (output?.latentsync_faces && output.latentsync_faces !== this.shownOutput) this.ran(output);
  }

  height() {
    return this.picker?.height(this.node.size[0] - 2 * MARGIN) ?? 0;
  }

  sized() {
    this.picker.root.style.minHeight = `${this.height()}px`; // new nodes are as high as what they hold
  }

  /** The picker is about to open: the node will be as low again as it is now. */
  opens() {
    this.closedHeight = this.node.size[1];
  }

  /** Make the node as high as the picker needs. */
  resized() {
    const { node, picker } = this;
    if (!picker) return;
    this.sized();
    const height = picker.isOpen ? node.size[1] : this.closedHeight;
    node.setSize([node.size[0], Math.max(height, node.computeSize()[1])]);
    node.setDirtyCanvas(true, true);
  }

  forwardWheel(event) {
    if (!window.LiteGraph?.vueNodesMode) app.canvas.processMouseWheel(event);
  }
}
