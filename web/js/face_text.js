// The text of a node's `face`, as latentsync_core/faces/tracking/selection.py reads it: "auto", "2", "x,y", "x0,y0,x1,y1",
// the last two with "@40" behind them for frame 40.

/** {kind: "number" | "point" | "box" | "word", numbers, frame}: points and boxes in pixels of a clip (width, height). */
export function parseFace(text, clip) {
  const [, place, frame] = /^([^@]*)(?:@\s*(\d+))?$/.exec(text.trim()) ?? [null, "", undefined];
  const numbers = place.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)));
  const kind = numbers.some(Number.isNaN) ? "word" : { 1: "number", 2: "point", 4: "box" }[numbers.length] ?? "word";
  const shares = (kind === "point" || kind === "box") && place.includes(".") && Math.max(...numbers) <= 1;
  const pixels = shares ? numbers.map((share, axis) => share * (axis % 2 ? clip.height : clip.width)) : numbers;
  return { kind, numbers: pixels, frame: Number(frame ?? 0) };
}

/** A point [x, y] or box [x0, y0, x1, y1] in frame `frame` as text. */
export function placeText(numbers, frame) {
  return numbers.map(Math.round).join(",") + (frame ? `@${frame}` : "");
}

/** The number of the face (number -> box) that a point is on: of several, whose middle is nearest; null for none. */
export function faceAt(faces, [x, y]) {
  const hits = Object.entries(faces).filter(([, [x0, y0, x1, y1]]) => x0 <= x && x <= x1 && y0 <= y && y <= y1);
  const distance = ([, [x0, y0, x1, y1]]) => Math.hypot(x - (x0 + x1) / 2, y - (y0 + y1) / 2);
  return hits.sort((a, b) => distance(a) - distance(b))[0]?.[0] ?? null;
}
