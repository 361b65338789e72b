/** One row of the queue: a file on its way, whatever state it is in. Shows what it is told and knows no server. */
import { button, icon, make } from "./dom.js";
import { label, quote, text } from "./words.js";

const ICONS = {
  compare: "compare",
  watch: "play",
  download: "download",
  cancel: "close",
  resume: "resume",
  retry: "retry",
  remove: "remove",
};

/**
 * A row shows a view: {id, name, kind, state, line, facts, share, notes, warnings, error, actions}.
 *
 * `share` is 0…1, null while it is not known how much there is, undefined where there is no progress to show.
 * `actions` maps names, which are keys of ICONS, to a function or to an address to download from.
 */
export class Row {
  constructor(thumbnail = null) {
    this.thumb = make("span", { class: "thumb" });
    this.hasPicture = Boolean(thumbnail);
    if (thumbnail) this.thumb.append(thumbnail);
    this.name = make("p", { class: "row-name" });
    this.line = make("p", { class: "row-line", "data-test": "line" });
    this.facts = make("p", { class: "row-facts muted" });
    this.progress = make("progress", { max: 1, "data-test": "progress" });
    this.remarks = make("ul", { class: "remarks", hidden: true });
    this.error = make("p", { class: "field-error", "data-test": "error", hidden: true });
    this.words = make(
      "div",
      { class: "row-words" },
      this.name,
      this.line,
      this.progress,
      this.facts,
      this.remarks,
      this.error,
    );
    this.buttons = make("div", { class: "row-actions" });
    this.element = make("li", { class: "row" }, this.thumb, this.words, this.buttons);
    this.actions = {};
  }

  show(view) {
    this.view = view;
    this.element.dataset.id = view.id;
    this.element.dataset.state = view.state;
    this.element.dataset.kind = view.kind;
    if (!this.thumb.childElementCount) this.thumb.append(icon(view.kind === "video" ? "film" : "picture"));
    quote(this.name, view.name);
    quote(this.line, view.line);
    quote(this.facts, view.facts ?? "");
    this.#showProgress(view);
    this.#showRemarks(view);
    this.error.hidden = !view.error;
    quote(this.error, view.error ?? "");
    this.#showActions(view);
  }

  /** Show a picture that lies at an address; the icon stays where it cannot be loaded. */
  showPicture(address) {
    this.hasPicture = true;
    const picture = make("img", { alt: "", src: address, width: 64, height: 64 });
    picture.addEventListener("load", () => this.thumb.replaceChildren(picture), { once: true });
  }

  #showProgress({ share, name }) {
    this.progress.hidden = share === undefined;
    if (share === undefined) return;
    label(this.progress, "row.progress", { name });
    if (share === null) this.progress.removeAttribute("value");
    else if (this.progress.value !== share || !this.progress.hasAttribute("value")) this.progress.value = share;
  }

  #showRemarks({ warnings = [], notes = [] }) {
    const wanted = JSON.stringify([warnings, notes]);
    if (this.remarks.dataset.shown === wanted) return;
    this.remarks.dataset.shown = wanted;
    this.remarks.hidden = !(warnings.length + notes.length);
    const item = (kind) => (sentence) => make("li", { class: kind }, sentence);
    this.remarks.replaceChildren(...warnings.map(item("warning")), ...notes.map(item("note")));
  }

  /** Buttons are made anew only when others are needed, so that a focused one stays. */
  #showActions({ actions, name }) {
    this.actions = actions;
    const wanted = Object.keys(actions).join(" ");
    if (this.buttons.dataset.shown !== wanted) {
      this.buttons.dataset.shown = wanted;
      const hadFocus = this.buttons.contains(document.activeElement);
      this.buttons.replaceChildren(...Object.keys(actions).map((action) => this.#button(action)));
      if (hadFocus) this.buttons.firstElementChild?.focus();
    }
    for (const element of this.buttons.children) {
      const { action } = element.dataset;
      label(element, "do.of", { what: text(`do.${action}`), name });
      if (element.localName === "a") element.href = actions[action];
    }
  }

  #button(action) {
    const look =
      { compare: "button primary", watch: "button primary", remove: "icon-button", cancel: "button ghost" }[action] ??
      "button";
    const attributes = { class: look, "data-test": action, "data-action": action };
    if (action === "download") {
      return make(
        "a",
        { ...attributes, download: true },
        icon("download"),
        make("span", { "data-word": "do.download" }, text("do.download")),
      );
    }
    const element = button(ICONS[action], `do.${action}`, () => this.actions[action](), attributes);
    if (action === "remove") element.lastElementChild.remove();
    return element;
  }
}
