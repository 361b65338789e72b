/** Two pictures of any size in one view, before and after, drawn on a canvas from the tiles of their pyramids. */
import { api } from "./api.js";
import { fitScale, kept, panned, zoomed } from "./camera.js";
import { iconButton, make } from "./dom.js";
import { listenToGestures } from "./gestures.js";
import { levelFor, paintLayer, visibleTiles } from "./paint.js";
import { Tiles } from "./tiles.js";
import { label, say } from "./words.js";

const KEY_ZOOM = 1.25;
const KEY_PAN = 0.1; // of the view
const CHECK = 12; // CSS pixels of a square of the pattern behind transparent pixels

export class Viewer {
  #element;
  #canvas = make("canvas", { id: "picture", "data-test": "canvas", class: "picture" });
  #pen = this.#canvas.getContext("2d");
  #abort = new AbortController();
  #tiles;
  #pyramids = null; // {before, after}
  #frame = null;
  #isFitted = true;
  #isDue = false;

  /** `canvas.frame`: {scale, left, top} in device pixels; `canvas.settled`: all visible tiles are drawn. */
  constructor({ element, toolbar, job, fullScreen }) {
    this.#element = element;
    this.#canvas.settled = false;
    this.#tiles = new Tiles(job.id, () => this.#redraw());
    element.prepend(this.#canvas);
    element.addEventListener("divide", () => this.#redraw());
    this.#fillToolbar(toolbar, fullScreen);
    listenToGestures(this.#canvas, {
      pan: (by) => this.#move(panned(this.#frame, this.#device(by), this.#after, this.#view)),
      zoom: (factor, at) => this.#zoom(this.#frame.scale * factor, this.#device(at)),
      double: (at) =>
        this.#isFitted ? this.#zoom(Math.max(1, 2 * this.#frame.scale), this.#device(at), 1) : this.#fit(),
    });
    this.observer = new ResizeObserver(([entry]) => this.#resize(entry));
    try {
      this.observer.observe(this.#canvas, { box: "device-pixel-content-box" }); // another zoom of the browser counts, too
    } catch {
      this.observer.observe(this.#canvas); // Safari
    }
    this.#load(job);
  }

  update() {
    // A finished picture does not change.
  }

  close() {
    this.#abort.abort();
    this.observer.disconnect();
    this.#tiles.close();
  }

  get #after() {
    return this.#pyramids.after;
  }

  get #view() {
    return { width: this.#canvas.width, height: this.#canvas.height };
  }

  /** CSS pixels as device pixels. */
  #device({ x, y }) {
    const ratio = this.#canvas.width / this.#canvas.clientWidth;
    return { x: x * ratio, y: y * ratio };
  }

  async #load(job) {
    const message = say(make("p", { class: "stage-message", role: "status" }), "compare.loading");
    this.#element.append(message);
    try {
      const sides = ["before", "after"].map((side) => api.pyramid(job.id, side, this.#abort.signal));
      const [before, after] = await Promise.all(sides);
      this.#pyramids = { before, after };
      message.remove();
      this.#fit();
    } catch (error) {
      if (error.name !== "AbortError") say(message, "view.failed", { error: error.message });
    }
  }

  #fillToolbar(toolbar, fullScreen) {
    const middle = () => ({ x: this.#canvas.width / 2, y: this.#canvas.height / 2 });
    this.keyZoom = (factor) => this.#frame && this.#zoom(this.#frame.scale * factor, middle());
    this.readout = make("output", { class: "zoom", id: "zoom", "data-test": "zoom" });
    const worded = (key, press, test) => {
      const element = say(make("button", { type: "button", class: "button on-dark", "data-test": test }), key);
      element.addEventListener("click", press);
      return element;
    };
    const dark = { class: "icon-button on-dark" };
    this.actualSize = () => this.#frame && this.#zoom(1, middle());
    toolbar.append(
      iconButton("minus", "view.out", () => this.keyZoom(1 / KEY_ZOOM), { ...dark, "data-test": "zoom-out" }),
      this.readout,
      iconButton("plus", "view.in", () => this.keyZoom(KEY_ZOOM), { ...dark, "data-test": "zoom-in" }),
      worded("view.fit", () => this.#pyramids && this.#fit(), "zoom-fit"),
      worded("view.actual", this.actualSize, "zoom-actual"),
      say(make("span", { class: "toolbar-hint" }), "view.help"),
      iconButton("full", "compare.full", fullScreen, { ...dark, "data-test": "full-screen" }),
    );
    label(toolbar, "options.title");
  }

  /** Keys that work wherever the focus is in the dialog. */
  key(event) {
    if (!this.#frame || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (event.shiftKey && step) {
      const by = { x: step[0] * this.#canvas.width * KEY_PAN, y: step[1] * this.#canvas.height * KEY_PAN };
      this.#move(panned(this.#frame, by, this.#after, this.#view));
    } else if (event.key === "+" || event.key === "=") this.keyZoom(KEY_ZOOM);
    else if (event.key === "-") this.keyZoom(1 / KEY_ZOOM);
    else if (event.key === "0") this.#fit();
    else if (event.key === "1") this.actualSize();
    else return;
    event.preventDefault();
  }

  #zoom(scale, at) {
    if (!this.#frame) return;
    this.#isFitted = false;
    this.#move(zoomed(this.#frame, scale, at, this.#after, this.#view));
  }

  #fit() {
    this.#isFitted = true;
    this.#move(kept({ scale: fitScale(this.#after, this.#view), left: 0, top: 0 }, this.#after, this.#view));
  }

  #move(frame) {
    if (!this.#pyramids) return;
    this.#frame = frame;
    this.#redraw();
  }

  #resize(entry) {
    const { width, height } = entry.contentRect;
    const exact = entry.devicePixelContentBoxSize?.[0]; // Safari has none
    this.#canvas.width = devicePixels(width, exact?.inlineSize);
    this.#canvas.height = devicePixels(height, exact?.blockSize);
    if (!this.#pyramids) return;
    if (this.#isFitted) this.#fit();
    else this.#move(kept(this.#frame, this.#after, this.#view));
    this.#draw(); // now: setting the size has cleared the canvas
  }

  #redraw() {
    this.#canvas.settled = false;
    if (this.#isDue || !this.#frame) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
    });
  }

  #draw() {
    if (!this.#canvas.clientWidth) return; // the dialog was closed meanwhile
    const { scale, left, top } = this.#frame;
    const { width, height } = this.#after;
    const view = this.#view;
    const whole = {
      left: Math.max(0, left),
      top: Math.max(0, top),
      right: Math.min(view.width, Math.round(left + width * scale)),
      bottom: Math.min(view.height, Math.round(top + height * scale)),
    };
    const ratio = view.width / this.#canvas.clientWidth;
    this.#element.bounds = { left: whole.left / ratio, right: whole.right / ratio };
    const divider = Math.round(this.#element.x * ratio);
    this.#pen.clearRect(0, 0, view.width, view.height);
    paintChecks(this.#pen, whole, Math.round(CHECK * ratio));
    const layers = ["before", "after"].map((side) => ({
      side,
      pyramid: this.#pyramids[side],
      left,
      top,
      width: width * scale,
      height: height * scale,
    }));
    const clips = [
      { ...whole, right: divider },
      { ...whole, left: divider },
    ];
    const missing = layers.flatMap((layer, index) =>
      paintLayer(this.#pen, layer, clips[index], this.#tiles, scale < 1),
    );
    this.#fetch(layers, whole, missing);
    this.#canvas.frame = this.#frame;
    this.#canvas.settled = !missing.length;
    say(this.readout, "view.zoom", { scale });
  }

  /** What is seen comes first; then the coarsest tiles, which stand in for others; then what the divider hides. */
  #fetch(layers, whole, missing) {
    const at = (layer, level) => visibleTiles(layer, level, whole);
    const coarsest = layers.flatMap((layer) => at(layer, layer.pyramid.levels.length - 1));
    const hidden = layers.flatMap((layer) => at(layer, levelFor(layer.pyramid, layer.width / layer.pyramid.width)));
    for (const { key } of coarsest) this.#tiles.get(key); // keeps them
    this.#tiles.want([...missing, ...coarsest, ...hidden]);
    this.#tiles.trim(hidden.length);
  }
}

/** A length in device pixels; `exact` is the browser's, which is off where a tool pretends another screen. */
function devicePixels(length, exact) {
  const about = length * window.devicePixelRatio;
  return Math.max(1, Math.abs(exact - about) < 2 ? exact : Math.round(about));
}

/** The squares that show through where a picture is transparent. */
function paintChecks(pen, { left, top, right, bottom }, side) {
  const pattern = document.createElement("canvas");
  pattern.width = pattern.height = 2 * side;
  const small = pattern.getContext("2d");
  small.fillStyle = "#8a8d91";
  small.fillRect(0, 0, 2 * side, 2 * side);
  small.fillStyle = "#6f7276";
  small.fillRect(0, 0, side, side);
  small.fillRect(side, side, side, side);
  pen.fillStyle = pen.createPattern(pattern, "repeat");
  pen.fillRect(left, top, right - left, bottom - top);
}
