/** The ways files come in: dropped anywhere, chosen, pasted, or taken from the samples. */
import { api, request } from "./api.js";
import { byId, icon, make } from "./dom.js";
import { label, say, text } from "./words.js";

/** `add(files)` is called with an array of File. `failed(sentence)` says what could not be taken. */
export function createDrop({ add, failed }) {
  const box = byId("drop");
  const input = byId("file-input");
  const words = box.querySelector(".drop-words");
  byId("drop-icon").append(icon("upload"));

  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  });

  document.addEventListener("paste", (event) => {
    if (event.target instanceof HTMLInputElement && event.target.type !== "file") return;
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) add(files);
  });

  let depth = 0; // dragenter and dragleave come for every element on the way
  const hovering = (isOver) => {
    box.classList.toggle("over", isOver);
    say(words, isOver ? "drop.here" : "drop.words");
  };
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  window.addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    hovering(true);
  });
  window.addEventListener("dragleave", (event) => {
    if (!carriesFiles(event)) return;
    depth = Math.max(0, depth - 1);
    if (!depth) hovering(false);
  });
  window.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  window.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    hovering(false);
    add([...event.dataTransfer.files]);
  });

  showSamples({ add, failed });
}

async function showSamples({ add, failed }) {
  const samples = await api.samples().catch(() => []);
  byId("samples").hidden = !samples.length;
  byId("sample-list").replaceChildren(
    ...samples.map((sample) => make("li", {}, sampleButton(sample, { add, failed }))),
  );
}

function sampleButton(sample, { add, failed }) {
  const element = make("button", { type: "button", class: "sample", "data-test": "sample", "data-name": sample.name });
  label(element, "samples.take", { name: sample.name });
  if (sample.kind === "video") element.append(icon("film"));
  else element.append(make("img", { src: sample.address, alt: "", loading: "lazy", width: 64, height: 64 }));
  element.addEventListener("click", async () => {
    element.disabled = true;
    try {
      const blob = await (await request(sample.address)).blob();
      add([new File([blob], sample.name, { type: blob.type })]);
    } catch (error) {
      failed(text("samples.failed", { name: sample.name, error: error.message }));
    } finally {
      element.disabled = false;
    }
  });
  return element;
}
