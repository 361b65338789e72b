/** Pointers on a picture as moves and zooms: drag, pinch, wheel, double click or tap. Knows nothing of pictures. */

const DOUBLE_MS = 320;
const STILL_PX = 8; // a finger that moved less has tapped
const WHEEL_STEP = 0.0016; // natural logarithm of the zoom for each pixel of the wheel

/** `pan({x, y})`, `zoom(factor, {x, y})` and `double({x, y})` are called in CSS pixels of the element. */
export function listenToGestures(element, { pan, zoom, double }) {
  const pointers = new Map(); // id → {x, y}
  let lastTap = null;
  let travelled = 0;

  const place = ({ clientX, clientY }) => {
    const { left, top } = element.getBoundingClientRect();
    return { x: clientX - left, y: clientY - top };
  };

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    if (!pointers.size) travelled = 0;
    pointers.set(event.pointerId, place(event));
  });

  element.addEventListener("pointermove", (event) => {
    const from = pointers.get(event.pointerId);
    if (!from) return;
    const to = place(event);
    travelled += Math.hypot(to.x - from.x, to.y - from.y);
    if (pointers.size === 1) pan({ x: to.x - from.x, y: to.y - from.y });
    else if (pointers.size === 2) pinch(event.pointerId, from, to);
    pointers.set(event.pointerId, to);
  });

  /** Zoom by how the distance to the other finger changes, and move by how the middle between them does. */
  function pinch(id, from, to) {
    const [other] = [...pointers].filter(([one]) => one !== id).map(([, at]) => at);
    const distance = (at) => Math.max(1, Math.hypot(at.x - other.x, at.y - other.y));
    zoom(distance(to) / distance(from), { x: (to.x + other.x) / 2, y: (to.y + other.y) / 2 });
    pan({ x: (to.x - from.x) / 2, y: (to.y - from.y) / 2 });
  }

  element.addEventListener("pointerup", (event) => {
    if (pointers.size === 1 && travelled < STILL_PX) tap(place(event), event.timeStamp);
  });
  element.addEventListener("lostpointercapture", (event) => pointers.delete(event.pointerId));

  function tap(at, time) {
    const isDouble =
      lastTap && time - lastTap.time < DOUBLE_MS && Math.hypot(at.x - lastTap.x, at.y - lastTap.y) < 3 * STILL_PX;
    lastTap = isDouble ? null : { ...at, time };
    if (isDouble) double(at);
  }

  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1);
      // A trackpad's pinch arrives as a wheel with Ctrl, in much smaller steps.
      zoom(Math.exp(-pixels * WHEEL_STEP * (event.ctrlKey ? 6 : 1)), place(event));
    },
    { passive: false },
  );
}
