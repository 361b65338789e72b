/** The files that are chosen but not started: a list with thumbnails, sizes and what each will become. */
import { byId, icon, iconButton, make } from "./dom.js";
import { kindOf, measure } from "./measure.js";
import { label, quote, say, text } from "./words.js";

const MEASURED_AT_ONCE = 2; // each is decoded whole

/**
 * `changed(items)` is called whenever the list or a size does; an item is {file, kind, size, error, tooLarge}.
 *
 * `size` is undefined while the browser looks, null where it cannot tell. `error`: why the item cannot be started;
 * `tooLarge`: the same where no option can change it.
 */
export function createChosen({ limits, changed, announce }) {
  const list = byId("chosen");
  const items = [];
  const unmeasured = [];
  let measuring = 0;

  byId("chosen-clear").addEventListener("click", () => {
    clear();
    byId("file-input").focus();
  });

  function add(files) {
    for (const file of files) {
      const item = { file, kind: kindOf(file), size: undefined, error: null, tooLarge: null };
      if (limits.upload_bytes && file.size > limits.upload_bytes) {
        item.error = item.tooLarge = text("chosen.too_many_bytes", { limit: limits.upload_bytes });
      }
      item.element = elementOf(item);
      items.push(item);
      list.append(item.element.row);
      unmeasured.push(item);
    }
    announce(text("chosen.added", { count: files.length }));
    measureNext();
    update();
  }

  async function measureNext() {
    if (measuring >= MEASURED_AT_ONCE || !unmeasured.length) return;
    measuring += 1;
    const item = unmeasured.shift();
    const measured = items.includes(item) ? await measure(item.file) : null;
    measuring -= 1;
    item.size = measured?.size ?? null;
    if (measured) item.element.picture.replaceChildren((item.thumbnail = measured.thumbnail));
    measureNext();
    if (items.includes(item)) update();
  }

  function elementOf(item) {
    const picture = make("span", { class: "thumb" }, icon(item.kind === "video" ? "film" : "picture"));
    const name = make("p", { class: "row-name" }, item.file.name);
    const facts = make("p", { class: "row-facts muted" });
    const estimate = make("p", { class: "row-facts", "data-test": "item-estimate" });
    const error = make("p", { class: "field-error", role: "alert", hidden: true });
    const remove = iconButton("close", "chosen.remove", () => take(item), { "data-test": "unchoose" });
    label(remove, "chosen.remove", { name: item.file.name });
    const words = make("div", { class: "row-words" }, name, facts, estimate, error);
    const row = make("li", { class: "row chosen-row", "data-name": item.file.name }, picture, words, remove);
    return { row, picture, facts, estimate, error };
  }

  function take(item) {
    const index = items.indexOf(item);
    items.splice(index, 1);
    item.element.row.remove();
    const next = items[index] ?? items[index - 1];
    (next ? next.element.row.querySelector("button") : byId("file-input")).focus();
    update();
  }

  function clear() {
    for (const item of items.splice(0)) item.element.row.remove();
    update();
  }

  function update() {
    byId("chosen-box").hidden = !items.length;
    byId("drop").classList.toggle("compact", items.length > 0);
    for (const item of items) showFacts(item);
    changed(items);
  }

  /** Take out the items that can be started, and leave those that cannot, with their reasons. */
  function takeReady() {
    const ready = items.filter((item) => !item.error);
    for (const item of ready) {
      items.splice(items.indexOf(item), 1);
      item.element.row.remove();
    }
    update();
    return ready;
  }

  return { add, takeReady, showEstimate };
}

function showFacts(item) {
  const bytes = item.file.size;
  const { facts, error } = item.element;
  if (item.size === undefined) say(facts, "chosen.measuring");
  else if (item.size === null) say(facts, "chosen.unknown", { bytes });
  else say(facts, "chosen.size", { size: item.size, bytes });
  error.hidden = !item.error;
  quote(error, item.error ?? "");
}

/** Show what an item will become, or why it cannot. `estimate` is the server's answer, or null. */
function showEstimate(item, estimate) {
  item.error = item.tooLarge ?? estimate?.error ?? null;
  showFacts(item);
  if (estimate && !estimate.error) say(item.element.estimate, "chosen.result", { estimate });
  else quote(item.element.estimate, "");
}
