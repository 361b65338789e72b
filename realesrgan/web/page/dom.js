/** Making elements, and the icons. Knows nothing of jobs or words beyond the keys it passes on. */
import { label, say } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

// Strokes on a grid of 24 by 24.
const ICONS = {
  close: "M6 6l12 12M18 6L6 18",
  download: "M12 4v11m-5-5l5 5 5-5M5 20h14",
  compare: "M12 3v18M4 6h5M4 18h5M4 6v12M15 6h5v12h-5",
  resume: "M7 5l11 7-11 7z",
  retry: "M5 12a7 7 0 1 0 2.2-5.1M5 4v4h4",
  remove: "M5 7h14M10 7V5h4v2M7 7l1 13h8l1-13",
  upload: "M12 19V6m-6 6l6-6 6 6",
  film: "M4 5h16v14H4zM8 5v14M16 5v14M4 12h4M16 12h4",
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9v.01",
  play: "M8 5l11 7-11 7z",
  pause: "M8 5v14M16 5v14",
  back: "M17 6l-8 6 8 6zM6 6v12",
  forward: "M7 6l8 6-8 6zM18 6v12",
  sound: "M4 10v4h4l5 4V6L8 10zM17 9a4 4 0 0 1 0 6",
  muted: "M4 10v4h4l5 4V6L8 10zM16 10l5 5M21 10l-5 5",
  full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
};

/** An SVG picture that assistive technology passes over: the button around it carries the name. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** An element with attributes and children. `true` sets an attribute without a value; false and null leave it out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A button with an icon and the words of `key`. */
export function button(iconName, key, press, attributes = {}) {
  const element = make("button", { type: "button", class: "button", ...attributes }, icon(iconName));
  element.append(say(make("span"), key));
  element.addEventListener("click", press);
  return element;
}

/** A button that shows only its icon; the words of `key` are its name and its tooltip. */
export function iconButton(iconName, key, press, attributes = {}) {
  const element = make("button", { type: "button", class: "icon-button", ...attributes }, icon(iconName));
  element.addEventListener("click", press);
  return label(element, key);
}

/** Show another icon in a button. */
export function setIcon(element, name) {
  if (element.dataset.icon === name) return;
  element.dataset.icon = name;
  element.querySelector(".icon").replaceWith(icon(name));
}

export function byId(id) {
  return document.getElementById(id);
}
