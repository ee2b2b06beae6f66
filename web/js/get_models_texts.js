// The words of the button and its dialog, with sizes and times as people write them.
import { textsOf } from "./texts.js";

export const text = textsOf("getModels");

export function bytes(count) {
  return count >= 1e9 ? `${(count / 1e9).toFixed(1)} GB` : `${Math.round(count / 1e6)} MB`;
}

export function duration(seconds) {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
