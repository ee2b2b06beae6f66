// The words of the button and its dialog, in the language of the canvas; they live with all others in locales/*/main.json.

let texts = {};

export async function loadTexts(api, app) {
  const answer = await api.fetchApi("/i18n");
  const languages = answer.ok ? await answer.json() : {};
  const chosen = app.extensionManager?.setting?.get("Comfy.Locale") ?? "en";
  texts = { ...languages.en?.latentsync?.getModels, ...languages[chosen]?.latentsync?.getModels };
}

export function text(name, values = {}) {
  return Object.entries(values).reduce((said, [key, value]) => said.replace(`<${key}>`, value), texts[name] ?? name);
}

export function bytes(count) {
  return count >= 1e9 ? `${(count / 1e9).toFixed(1)} GB` : `${Math.round(count / 1e6)} MB`;
}

export function duration(seconds) {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
