// What the page says, in the language of the canvas; the words live with all others in locales/*/main.json.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const reply = await api.fetchApi("/i18n");
const languages = reply.ok ? await reply.json() : {};

/** The function from the name of a text of `group` to the text, with the values it names as <name>. */
export function textsOf(group) {
  return (name, values = {}) => {
    const chosen = app.extensionManager?.setting?.get("Comfy.Locale") ?? "en";
    const said = languages[chosen]?.latentsync?.[group]?.[name] ?? languages.en?.latentsync?.[group]?.[name] ?? name;
    return said.replace(/<(\w+)>/g, (_, key) => values[key]);
  };
}
