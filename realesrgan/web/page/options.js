/** The options form: which fields apply, what they send, and what was wrong with them. Remembered by the browser. */
import { byId, make } from "./dom.js";
import { known, quote, say, text } from "./words.js";

const REMEMBERED = "realesrgan.options";
const REMEMBERED_FIELDS = [
  "picture-model",
  "video-model",
  "outscale-other",
  "denoise",
  "face",
  "face-weight",
  "picture-format",
  "video-format",
  "fp32",
];

// The server's name of a field → the beginning of the ids here. Model and format are one field for each kind.
const ERROR_PLACES = {
  outscale: "outscale",
  denoise_strength: "denoise",
  face_enhance: "face",
  face_weight: "face-weight",
  fp32: "fp32",
};

/** `offered` is the answer of /v1/models. `changed()` is called when anything that is sent changes. */
export function createOptions({ offered, changed }) {
  const form = byId("options");
  const models = new Map(offered.models.map((model) => [model.name, model]));
  let kinds = new Set();

  fill();
  recall();
  update();
  form.addEventListener("input", (event) => {
    clearErrors(event.target);
    update();
    remember();
    changed();
  });
  document.addEventListener("language", () => {
    relabel();
    update();
  });

  function fill() {
    for (const kind of ["picture", "video"]) {
      byId(`${kind}-model`).replaceChildren(...offered.models.map(({ name }) => make("option", { value: name }, name)));
      byId(`${kind}-model`).value = offered.default[kind];
      byId(`${kind}-format`).replaceChildren(
        ...offered.formats[kind].map((name) => make("option", { value: name }, name)),
      );
    }
    relabel();
  }

  function relabel() {
    for (const option of form.querySelectorAll('option[value="auto"]')) option.textContent = text("options.auto");
  }

  function modelFor(kind) {
    return models.get(byId(`${kind}-model`).value) ?? models.get(offered.default[kind]);
  }

  function active() {
    return kinds.size ? [...kinds] : ["picture"];
  }

  function chosenOutscale() {
    return form.elements.outscale.value;
  }

  /** The enlargement that is sent: as chosen, or the model's own until something was chosen. */
  function outscaleFor(kind) {
    const chosen = chosenOutscale();
    if (!chosen) return modelFor(kind).scale;
    return Number(chosen === "other" ? byId("outscale-other").value : chosen);
  }

  /** Show the fields that apply to what is chosen. */
  function update() {
    for (const kind of ["picture", "video"]) {
      const applies = active().includes(kind);
      byId(`field-${kind}-model`).hidden = !applies;
      byId(`field-${kind}-format`).hidden = !applies;
      showModelHelp(byId(`${kind}-model-help`), modelFor(kind));
    }
    if (!chosenOutscale() || form.dataset.follows) followModel();
    byId("outscale-other").hidden = chosenOutscale() !== "other";
    byId("field-denoise").hidden = !active().some((kind) => modelFor(kind).denoise);
    const onlyDrawings = active().every((kind) => modelFor(kind).for_drawings);
    const face = byId("face");
    face.disabled = onlyDrawings;
    byId("field-face-weight").hidden = onlyDrawings || !face.checked;
    if (onlyDrawings) say(byId("face-help"), "options.face_drawings");
    else if (face.checked && !offered.faces.here)
      say(byId("face-help"), "options.download", { bytes: offered.faces.download_bytes });
    else say(byId("face-help"), "options.face_help");
    for (const id of ["denoise", "face-weight"]) {
      const value = Number(byId(id).value);
      say(byId(`${id}-value`), "row.percent", { share: value });
      byId(id).style.setProperty("--share", value);
    }
  }

  /** Until an enlargement was chosen, the model's own is shown as chosen. */
  function followModel() {
    form.dataset.follows = "true";
    form.elements.outscale.value = String(modelFor(active()[0]).scale);
  }

  function setKinds(wanted) {
    kinds = wanted;
    update();
  }

  /** The fields of POST /v1/jobs for a file of this kind. */
  function optionsFor(kind) {
    const model = modelFor(kind);
    return {
      model_name: model.name,
      outscale: form.dataset.follows ? model.scale : outscaleFor(kind),
      ...(model.denoise && { denoise_strength: Number(byId("denoise").value) }),
      face_enhance: byId("face").checked && !model.for_drawings,
      face_weight: Number(byId("face-weight").value),
      fp32: byId("fp32").checked,
      ext: byId(`${kind}-format`).value,
    };
  }

  /** Whether everything can be sent; if not, the field says why. */
  function check() {
    const outscale = outscaleFor(active()[0]);
    const most = Number(byId("outscale-other").max);
    if (outscale > 0 && outscale <= most) return true;
    showError("outscale", text("options.outscale_wrong", { most }), active()[0]);
    return false;
  }

  /** Say beside a field what is wrong with it. Returns whether there is such a field. */
  function showError(field, sentence, kind) {
    const place = { model_name: `${kind}-model`, ext: `${kind}-format`, ...ERROR_PLACES }[field];
    if (!place) return false;
    const error = byId(`${place}-error`);
    quote(error, sentence).hidden = false;
    errorOwner(place).setAttribute("aria-invalid", "true");
    return true;
  }

  function errorOwner(place) {
    return byId(place) ?? byId(`field-${place}`);
  }

  function clearErrors(input) {
    if (input.name === "outscale") delete form.dataset.follows;
    const place = input.name || (input.id === "outscale-other" ? "outscale" : input.id);
    const error = byId(`${place}-error`);
    if (!error) return;
    error.hidden = true;
    errorOwner(place).removeAttribute("aria-invalid");
  }

  function remember() {
    const record = Object.fromEntries(
      REMEMBERED_FIELDS.map((id) => [id, byId(id).type === "checkbox" ? byId(id).checked : byId(id).value]),
    );
    if (!form.dataset.follows) record.outscale = chosenOutscale();
    localStorage.setItem(REMEMBERED, JSON.stringify(record));
  }

  /** What was remembered may name models and formats that this server does not have: they are passed over. */
  function recall() {
    let record;
    try {
      record = JSON.parse(localStorage.getItem(REMEMBERED)) ?? {};
    } catch {
      return;
    }
    for (const id of REMEMBERED_FIELDS) {
      const input = byId(id);
      if (input.type === "checkbox") input.checked = record[id] === true;
      else if (input.localName === "select" && [...input.options].some(({ value }) => value === record[id]))
        input.value = record[id];
      else if (input.localName === "input" && record[id] !== undefined) input.value = record[id];
    }
    if (record.outscale) form.elements.outscale.value = record.outscale;
  }

  /** The server's offer has changed: weights that were downloaded are there. */
  function refresh(now) {
    for (const model of now.models) models.set(model.name, model);
    offered.faces = now.faces;
    update();
  }

  return { optionsFor, setKinds, check, showError, refresh };
}

/** A model's line: translated if it is one of the published, as the server says it otherwise. */
function showModelHelp(element, model) {
  const key = `model.${model.name}`;
  const summary = known(key) ? text(key) : model.summary;
  if (model.here) say(element, "options.model", { summary });
  else say(element, "options.model_download", { summary, bytes: model.download_bytes });
}
