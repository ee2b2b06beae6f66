// What can be fetched for a loader node, with size, licence and source, before anything is: the user's choice or null.

import { bytes, text } from "./get_models_texts.js";

function element(tag, content = "", attributes = {}) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...[content].flat());
  return made;
}

// listed: as GET /latentsync/models gives it. Resolves to {names, fp16}, or to null where the user closed the dialog.
export function openDialog(listed) {
  const dialog = element("dialog", "", { className: "latentsync-dialog" });
  const choices = fileRows(listed.files);
  const fp16 = fp16Choice(listed.files);
  const total = element("p", "", { className: "latentsync-total" });
  const fetch = element("button", text("fetch"), { type: "submit", value: "fetch", className: "latentsync-fetch" });
  const close = element("button", text("close"), { type: "submit", value: "", formNoValidate: true });
  const form = element("form", [element("h2", text("button")), element("p", text("explain")), choices.table], {
    method: "dialog",
  });
  form.append(...(fp16 ? [fp16.row] : []), total);
  if (listed.offline) form.append(element("p", listed.offline, { className: "latentsync-warning", role: "alert" }));
  form.append(element("div", [close, fetch], { className: "latentsync-actions" }));
  dialog.append(form);

  const update = () => {
    const files = choices.chosen();
    const missing = files.reduce((sum, file) => sum + file.size - file.arrived, 0);
    const free = Math.min(...files.map((file) => file.free));
    total.textContent = files.length ? text("total", { size: bytes(missing), free: bytes(free) }) : text("nothing");
    fetch.disabled = Boolean(listed.offline) || !files.length;
  };
  form.addEventListener("change", update);
  update();

  // The canvas has shortcuts for many keys; what is typed in here is not meant for it.
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const names = choices.chosen().map((file) => file.name);
      dialog.remove();
      resolve(dialog.returnValue === "fetch" && names.length ? { names, fp16: Boolean(fp16?.box.checked) } : null);
    });
  });
}

function fileRows(files) {
  // Preselected is what a first run needs: one file that the node itself loads, and the others that go with it.
  const ownIsHere = files.some((file) => file.own && file.present);
  const first = files.find((file) => file.own && !file.present && !file.error);
  const boxes = new Map();
  const head = element("tr", ["", "file", "size", "licence", "source"].map((name) => element("th", name && text(name))));
  const rows = files.map((file) => {
    const box = element("input", "", { type: "checkbox", name: file.name });
    box.setAttribute("aria-label", file.name);
    box.disabled = Boolean(file.present || file.error);
    box.checked = !box.disabled && (file.own ? !ownIsHere && file === first : true);
    boxes.set(box, file);
    const link = element("a", file.source, { href: file.page, target: "_blank", rel: "noopener noreferrer" });
    const place = file.error ?? (file.present ? text("present", { file: file.present }) : text("into", { folder: file.folder }));
    const name = [element("strong", file.name), element("small", file.purpose), element("small", place)];
    const size = [bytes(file.size), ...(file.arrived ? [element("small", text("arrived", { size: bytes(file.arrived) }))] : [])];
    return element("tr", [box, name, size, file.licence, link].map((cell) => element("td", cell)));
  });
  return {
    table: element("table", [element("thead", head), element("tbody", rows)]),
    chosen: () => [...boxes].filter(([box]) => box.checked).map(([, file]) => file),
  };
}

function fp16Choice(files) {
  const halved = files.find((file) => file.fp16_name && !file.present);
  if (!halved) return null;
  const box = element("input", "", { type: "checkbox", name: "fp16" });
  const words = text("fp16", { half: bytes(halved.size / 2), whole: bytes(halved.size) });
  return { box, row: element("label", [box, element("span", words)], { className: "latentsync-fp16" }) };
}
