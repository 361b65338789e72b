/** Files on their way to the server: a few at a time, with progress, to be cancelled or tried again. */
import { upload } from "./api.js";
import { Row } from "./row.js";
import { text, withField } from "./words.js";

const AT_ONCE = 3;

/**
 * `arrived(row, job, thumbnail)` is called with the row the job's row takes the place of. `optionsFor(kind)` gives the
 * options as they are now; `showError(field, sentence, kind)` shows an error beside its field.
 */
export function createUploads({ list, arrived, optionsFor, showError, changed, announce }) {
  const uploads = new Set();
  let number = 0;

  function start(items) {
    for (const { file, kind, thumbnail } of items) {
      number += 1;
      const one = { id: `upload-${number}`, file, kind, thumbnail, options: optionsFor(kind), row: new Row(thumbnail) };
      uploads.add(one);
      list.append(one.row.element);
      queue(one);
    }
    startNext();
  }

  function queue(one) {
    Object.assign(one, { state: "waiting", sent: 0, error: null });
    show(one);
  }

  function startNext() {
    const sending = [...uploads].filter(({ state }) => state === "sending").length;
    const waiting = [...uploads].filter(({ state }) => state === "waiting");
    for (const one of waiting.slice(0, AT_ONCE - sending)) send(one);
    changed();
  }

  async function send(one) {
    one.state = "sending";
    one.aborting = new AbortController();
    show(one);
    const progressed = (sent) => {
      one.sent = sent;
      show(one);
    };
    try {
      const job = await upload(one.file, one.options, { progressed, signal: one.aborting.signal });
      uploads.delete(one);
      arrived(one.row, job, one.thumbnail);
    } catch (error) {
      if (error.name !== "AbortError") fail(one, error);
    }
    startNext();
  }

  function fail(one, error) {
    one.state = "failed";
    one.error = withField(error.message, error.field);
    one.isRefused = Boolean(error.field && showError(error.field, error.message, one.kind));
    announce(text("live.state", { name: one.file.name, state: text("row.upload_failed") }));
    show(one);
  }

  function retry(one) {
    // A refused option has been corrected in the form by now; after a broken connection the options stay as they were.
    if (one.isRefused) one.options = optionsFor(one.kind);
    queue(one);
    startNext();
  }

  function remove(one) {
    uploads.delete(one);
    one.aborting?.abort();
    one.row.element.remove();
    startNext();
  }

  function show(one) {
    const isFailed = one.state === "failed";
    const lines = { waiting: "row.upload_waiting", sending: "row.uploading", failed: "row.upload_failed" };
    one.row.show({
      id: one.id,
      name: one.file.name,
      kind: one.kind,
      state: isFailed ? "upload-failed" : "uploading",
      line: text(lines[one.state], { done: one.sent, total: one.file.size }),
      share: isFailed ? undefined : one.sent / Math.max(1, one.file.size),
      error: one.error,
      actions: isFailed ? { retry: () => retry(one), remove: () => remove(one) } : { cancel: () => remove(one) },
    });
  }

  document.addEventListener("language", () => uploads.forEach(show));
  window.addEventListener("beforeunload", (event) => {
    if ([...uploads].some(({ state }) => state !== "failed")) event.preventDefault();
  });

  return { start };
}
