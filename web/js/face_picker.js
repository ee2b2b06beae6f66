// A clip to look through below a node, whose faces are clicked: the element, without a thought for the node.
import { faceAt, parseFace, placeText } from "./face_text.js";
import { textsOf } from "./texts.js";

const text = textsOf("chooseFace");
const BAR = 28, SLIDER = 22, STATUS = 34, GAP = 4; // pixels
const STAGE = { low: 120, high: 420 }; // pixels of the picture's height
const CLICK = 4; // pixels on the screen that a pointer may move in a click
const LEAP = 10; // frames with Shift
const STYLE = `
.latentsync-faces { display: flex; flex-direction: column; gap: ${GAP}px; height: 100%; overflow: hidden;
  font: 12px/16px sans-serif; color: var(--input-text, #ddd); box-sizing: border-box; }
.latentsync-faces > * { flex: none; }
.latentsync-faces .bar { display: flex; gap: ${GAP}px; height: ${BAR - GAP}px; overflow: hidden; }
.latentsync-faces button { background: var(--comfy-input-bg, #222); color: inherit; border: 1px solid var(--border-color, #555);
  border-radius: 4px; padding: 0 8px; font: inherit; cursor: pointer; white-space: nowrap; }
.latentsync-faces button.toggle { margin-left: auto; }
.latentsync-faces:not(.open) button.toggle { flex: 1; }
.latentsync-faces button[aria-pressed=true] { background: var(--input-text, #ddd); color: var(--comfy-input-bg, #222); }
.latentsync-faces .stage { position: relative; flex: 1 1 0; min-height: 0; background: #111; border-radius: 4px;
  cursor: crosshair; touch-action: none; }
.latentsync-faces .stage > * { position: absolute; inset: 0; width: 100%; height: 100%; }
.latentsync-faces img { object-fit: contain; pointer-events: none; user-select: none; }
.latentsync-faces svg * { fill: none; vector-effect: non-scaling-stroke; pointer-events: none; }
.latentsync-faces svg .hover { stroke: #fff; stroke-width: 2; stroke-dasharray: 4 3; }
.latentsync-faces svg .chosen { stroke: #fff; stroke-width: 3; }
.latentsync-faces svg .drag { stroke: #ffd23c; stroke-width: 2; }
.latentsync-faces input[type=range] { width: 100%; height: ${SLIDER - GAP}px; margin: 0; }
.latentsync-faces .status { height: ${STATUS - GAP}px; overflow: hidden; }
.latentsync-faces :focus-visible { outline: 2px solid #4a9eff; outline-offset: -2px; }
.latentsync-faces:not(.open) > :not(.bar), .latentsync-faces:not(.open) .persons { display: none; }
.latentsync-faces .persons { display: flex; gap: ${GAP}px; overflow-x: auto; }`;

/** An HTML element with properties, attributes (aria-..., role) and children. */
function element(tag, { children = [], ...properties } = {}) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function shape(tag, kind, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries({ ...attributes, class: kind })) made.setAttribute(name, value);
  return made;
}

function rectangle(kind, [x0, y0, x1, y1]) {
  const [x, y] = [Math.min(x0, x1), Math.min(y0, y1)];
  return shape("rect", kind, { x, y, width: Math.abs(x1 - x0), height: Math.abs(y1 - y0) });
}

/**
 * The picker. owner: {face() -> text, choose(text), frames() -> promise of frames or null, refusal() -> text why nothing
 * can be chosen or null, opens(), resized()}.
 */
export class FacePicker {
  isOpen = false;
  frames = null;
  place = 0;
  hovered = null;
  drag = null; // {from, to, screen} while a button is held, in pixels of the clip
  note = "";

  constructor(owner) {
    this.owner = owner;
    this.persons = element("div", { className: "persons", role: "group", "aria-label": text("persons") });
    this.toggle = element("button", { type: "button", className: "toggle", onclick: () => this.open(!this.isOpen) });
    this.image = element("img", { alt: "", draggable: false, onload: () => this.drawn(), onerror: () => this.drawn() });
    this.svg = shape("svg", "over", { preserveAspectRatio: "xMidYMid meet" });
    this.stage = element("div", { className: "stage", tabIndex: 0, role: "group", "aria-label": text("picture"),
      children: [this.image, this.svg] });
    this.slider = element("input", { type: "range", min: 0, value: 0, "aria-label": text("slider") });
    this.status = element("div", { className: "status", role: "status" });
    const bar = element("div", { className: "bar", children: [this.persons, this.toggle] });
    this.root = element("div", { className: "latentsync-faces", children: [
      element("style", { textContent: STYLE }), bar, this.stage, this.slider, this.status] });
    this.slider.oninput = () => this.show(Number(this.slider.value));
    this.listen();
    this.open(false);
  }

  listen() {
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave"]) {
      this.stage.addEventListener(kind, (event) => this.onPointer(event));
    }
    // The canvas below would drag the node, or take the keys for its own.
    for (const kind of ["pointerdown", "mousedown", "dblclick"]) {
      this.root.addEventListener(kind, (event) => event.stopPropagation());
    }
    this.root.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Pixels that the element takes at a width. */
  height(width) {
    return this.isOpen ? BAR + this.stageHeight(width) + GAP + SLIDER + STATUS : BAR;
  }

  stageHeight(width) {
    const wanted = this.frames ? (width * this.frames.height) / this.frames.width : 0;
    return Math.round(Math.min(Math.max(wanted, STAGE.low), STAGE.high));
  }

  async open(isOpen) {
    if (isOpen && !this.isOpen) this.owner.opens();
    this.isOpen = isOpen;
    this.root.classList.toggle("open", isOpen);
    this.toggle.textContent = isOpen ? text("close") : text("open");
    this.toggle.setAttribute("aria-expanded", isOpen);
    if (isOpen) await this.refresh();
    else this.owner.resized();
  }

  /** Look at the clip again: another one is connected, or a run has numbered it. */
  async refresh() {
    if (!this.isOpen) return;
    this.status.textContent = text("loading");
    const turn = (this.turn = {}), before = this.frames;
    let found = null, note = "";
    try {
      found = await this.owner.frames();
      note = found ? "" : text("noClip");
    } catch (error) {
      note = error.message;
    }
    if (turn !== this.turn) return; // a run has ended, or another clip was connected, while a file was read
    this.frames = found;
    this.note = note;
    this.slider.max = Math.max((this.frames?.length ?? 1) - 1, 0);
    this.slider.disabled = !this.frames;
    this.image.style.visibility = this.frames ? "visible" : "hidden";
    this.owner.resized();
    if (this.frames) this.svg.setAttribute("viewBox", `0 0 ${this.frames.width} ${this.frames.height}`);
    const kept = before && this.frames && before.length === this.frames.length;
    this.show(kept ? this.place : 0);
  }

  /** Show the picture at a place of the slider; the latest one asked for when the one before has come. */
  show(place) {
    this.hovered = null;
    if (this.frames) {
      this.place = Math.min(Math.max(place, 0), this.frames.length - 1);
      this.slider.value = this.place;
      this.shown = this.frames.at(this.place);
      this.slider.setAttribute("aria-valuetext", this.frameText());
      if (!this.loading) this.load();
    }
    this.draw();
  }

  load() {
    this.loading = this.shown.url;
    this.image.src = this.shown.url;
  }

  drawn() {
    const newer = this.frames && this.loading !== this.shown.url;
    this.loading = null;
    if (newer) this.load();
  }

  frameText() {
    return text("frame", { frame: this.shown.frame, last: this.frames.total - 1 });
  }

  /** The chosen face over the picture, the buttons of the persons, and a line of text. */
  draw() {
    const refusal = this.owner.refusal();
    const face = parseFace(this.owner.face(), this.frames ?? { width: 1, height: 1 });
    this.drawPersons(refusal);
    this.svg.replaceChildren();
    if (!this.frames) {
      this.status.textContent = refusal ?? this.note;
      return;
    }
    const { frame, faces } = this.shown;
    if (this.hovered) this.svg.append(rectangle("hover", faces[this.hovered]));
    if (face.kind === "number" && faces[face.numbers[0]]) this.svg.append(rectangle("chosen", faces[face.numbers[0]]));
    if (face.kind === "box" && face.frame === frame) this.svg.append(rectangle("chosen", face.numbers));
    if (face.kind === "point" && face.frame === frame) {
      const [cx, cy] = face.numbers;
      this.svg.append(shape("circle", "chosen", { cx, cy, r: this.frames.height / 40 }));
    }
    if (this.drag) this.svg.append(rectangle("drag", [...this.drag.from, ...this.drag.to]));
    this.status.textContent = refusal ?? (this.note || this.statusText(faces));
  }

  statusText(faces) {
    const numbers = Object.keys(faces).join(", ");
    const who = numbers ? text("here", { numbers }) : text("nobody");
    const known = this.frames.persons.length > 0;
    return [this.frameText(), ...(known ? [who, text("how")] : [text("before")])].join(" · ");
  }

  drawPersons(refusal) {
    const chosen = this.owner.face().trim();
    const choices = ["auto", ...(this.frames?.persons ?? [])];
    const focused = [...this.persons.children].findIndex((button) => button === document.activeElement);
    this.persons.replaceChildren(...choices.map((choice) => element("button", {
      type: "button", textContent: choice, disabled: refusal !== null, "aria-pressed": choice === chosen,
      title: choice === "auto" ? "auto" : text("person", { number: choice }), onclick: () => this.choose(choice),
    })));
    this.persons.children[focused]?.focus();
  }

  choose(face) {
    if (this.owner.refusal() !== null) return;
    this.note = "";
    this.owner.choose(face);
    this.draw();
  }

  /** The pointer's place in pixels of the clip, inside it. */
  placeOf(event) {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    return [Math.min(Math.max(x, 0), this.frames.width - 1), Math.min(Math.max(y, 0), this.frames.height - 1)];
  }

  onPointer(event) {
    if (!this.frames || this.owner.refusal() !== null) return;
    if (event.type === "pointerdown" && event.button === 0) {
      this.stage.focus({ preventScroll: true });
      this.stage.setPointerCapture(event.pointerId);
      const from = this.placeOf(event);
      this.drag = { from, to: from, screen: [event.clientX, event.clientY] };
    } else if (event.type === "pointermove") {
      if (this.drag) this.drag.to = this.placeOf(event);
      else this.hovered = faceAt(this.shown.faces, this.placeOf(event));
    } else if (event.type === "pointerup" && this.drag) {
      const { from, screen } = this.drag;
      this.drag = null;
      const moved = Math.hypot(event.clientX - screen[0], event.clientY - screen[1]) > CLICK;
      if (moved) this.chooseBox(from, this.placeOf(event));
      else this.choose(faceAt(this.shown.faces, from) ?? placeText(from, this.shown.frame));
    } else if (event.type === "pointercancel" || event.type === "pointerleave") {
      this.drag = event.type === "pointercancel" ? null : this.drag;
      this.hovered = null;
    }
    this.draw();
  }

  chooseBox([x0, y0], [x1, y1]) {
    const box = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)].map(Math.round);
    if (box[0] < box[2] && box[1] < box[3]) this.choose(placeText(box, this.shown.frame));
  }

  onKey(event) {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, Home: -Infinity, End: Infinity };
    if (event.ctrlKey || event.metaKey || event.altKey || !this.isOpen || !this.frames) return;
    if (event.key in steps) this.show(this.place + steps[event.key] * (event.shiftKey ? LEAP : 1));
    else if (/^[1-9]$/.test(event.key)) this.chooseNumber(event.key);
    else if (event.key === "Escape" && this.drag) this.drag = null;
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.draw();
  }

  chooseNumber(number) {
    if (this.frames.persons.includes(number)) this.choose(number);
    else this.note = this.frames.persons.length ? text("unknown", { number }) : text("before");
  }
}
