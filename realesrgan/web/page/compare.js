/**
 * <before-after>: the divider between before on the left and after on the right, over pictures and videos alike.
 *
 * What lies below listens to "divide" and draws both sides up to `x`. Knows nothing of what is compared.
 */
import { make } from "./dom.js";
import { label, say, text } from "./words.js";

const STEP = 0.01; // an arrow key; Page Up and Page Down move ten times as far

export class BeforeAfter extends HTMLElement {
  #share = 0.5;
  #bounds = { left: 0, right: 0 };

  constructor() {
    super();
    this.divider = make("div", {
      class: "divider",
      role: "slider",
      tabindex: 0,
      "aria-orientation": "horizontal",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "data-test": "divider",
    });
    this.divider.append(make("span", { class: "handle" }));
  }

  connectedCallback() {
    const before = say(make("span", { class: "tag tag-before" }), "compare.before");
    const after = say(make("span", { class: "tag tag-after" }), "compare.after");
    this.append(before, after, label(this.divider, "compare.divider"));
    this.divider.addEventListener("keydown", (event) => this.#key(event));
    this.divider.addEventListener("blur", () => this.divider.classList.remove("by-keys"));
    this.divider.addEventListener("pointerdown", (event) => this.#grab(event));
    this.#show();
  }

  /** Where the divider is, as a share of what can be seen: 0 shows only after, 1 only before. */
  get share() {
    return this.#share;
  }

  set share(wanted) {
    this.#share = Math.min(1, Math.max(0, wanted));
    this.#show();
    this.dispatchEvent(new Event("divide"));
  }

  /** Left and right edge of what is compared, in CSS pixels of this element. The divider keeps within. */
  set bounds(bounds) {
    this.#bounds = bounds;
    this.#show();
  }

  /** The divider's place in CSS pixels of this element. */
  get x() {
    const { left, right } = this.#bounds;
    return left + this.#share * (right - left);
  }

  #show() {
    const percent = Math.round(this.#share * 100);
    this.divider.style.transform = `translateX(${this.x}px)`;
    this.divider.setAttribute("aria-valuenow", percent);
    this.divider.setAttribute("aria-valuetext", text("compare.share", { share: this.#share }));
  }

  #key(event) {
    if (event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = {
      ArrowLeft: -STEP,
      ArrowDown: -STEP,
      ArrowRight: STEP,
      ArrowUp: STEP,
      PageDown: -10 * STEP,
      PageUp: 10 * STEP,
    }[event.key];
    if (step) this.share = Math.round((this.share + step) * 100) / 100;
    else if (event.key === "Home") this.share = 0;
    else if (event.key === "End") this.share = 1;
    else return;
    this.divider.classList.add("by-keys"); // :focus-visible does not come back after a press of the mouse
    event.preventDefault();
    event.stopPropagation();
  }

  #grab(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    event.stopPropagation(); // a drag of the divider is not a drag of the picture
    this.divider.classList.remove("by-keys");
    this.divider.focus({ focusVisible: false });
    this.divider.setPointerCapture(event.pointerId);
    const offset = event.clientX - this.getBoundingClientRect().left - this.x; // the handle stays where it was gripped
    const move = ({ clientX }) => {
      const { left, right } = this.#bounds;
      this.share = (clientX - this.getBoundingClientRect().left - offset - left) / Math.max(1, right - left);
    };
    const release = () => this.divider.removeEventListener("pointermove", move);
    this.divider.addEventListener("pointermove", move);
    this.divider.addEventListener("lostpointercapture", release, { once: true });
  }
}

customElements.define("before-after", BeforeAfter);
