// Frames of a node's clip to look at: those that its last run drew, or any of the connected file before a run.
import { api } from "../../../scripts/api.js";

/** The frames that a run wrote, with everybody's number and box in them. */
export class RunFrames {
  /** output: of a node that ran Face Track; see shown_frames in nodes/host/shown.py. */
  constructor(output) {
    const [clip] = output.latentsync_clip;
    Object.assign(this, { width: clip.width, height: clip.height, total: clip.frames });
    this.frames = output.latentsync_faces.map((shown, place) => ({ ...shown, file: output.images[place] }));
  }

  get length() {
    return this.frames.length;
  }

  /** Numbers of everybody, rising. */
  get persons() {
    const numbers = this.frames.flatMap((shown) => Object.keys(shown.faces));
    return [...new Set(numbers)].sort((a, b) => a - b);
  }

  /** {frame, faces, url} of the picture at a place of the slider. */
  at(place) {
    const { frame, faces, file } = this.frames[place];
    return { frame, faces, url: api.apiURL(`/view?${new URLSearchParams(file)}`) };
  }
}

/** Every frame of a file, decoded when it is looked at; nobody is known yet. */
export class FileFrames {
  persons = [];

  /** source: of clipOf. Throws an Error with the server's sentence for a file that cannot be shown. */
  static async open(source) {
    const reply = await api.fetchApi(`/latentsync/clip?${new URLSearchParams(source.query)}`);
    if (!reply.ok) throw new Error(await reply.text());
    const { frames, changed, ...about } = await reply.json();
    return Object.assign(new FileFrames(), about, { query: { ...source.query, changed }, length: frames, total: frames });
  }

  at(frame) {
    const url = api.apiURL(`/latentsync/frame?${new URLSearchParams({ ...this.query, index: frame })}`);
    return { frame, faces: {}, url };
  }
}

/** Where the clip of a node's `video` comes from, {key, query} for the server; null where it is no plain file. */
export function clipOf(node) {
  let origin = inputNode(node, node.inputs?.findIndex((input) => input.name === "video") ?? -1);
  while (origin?.type === "Reroute") origin = inputNode(origin, 0);
  if (origin?.type === "LatentSyncSample") return { key: "sample", query: {} };
  const file = origin?.type === "LoadVideo" && origin.widgets?.find((widget) => widget.name === "file")?.value;
  return file ? { key: `file ${file}`, query: { file } } : null;
}

function inputNode(node, slot) {
  return slot < 0 || node.inputs[slot].link == null ? null : node.getInputNode(slot);
}
