/** The jobs of this browser as rows. The server is the only source: a reload shows the same. */
import { addresses, api } from "./api.js";
import { byId } from "./dom.js";
import { viewOf } from "./job.js";
import { Row } from "./row.js";
import { say, text } from "./words.js";

/** `open(id)` opens a comparison; `updated(job)` is called with every job that changed, `ended(job)` when one ended. */
export function createQueue({ open, updated, ended, announce, keepHours }) {
  const list = byId("queue");
  const entries = new Map(); // id → {job, row}

  const acts = {
    compare: open,
    watch: open,
    cancel: (id) => act(id, api.cancel),
    resume: (id) => act(id, api.resume),
    retry: (id) => act(id, api.resume),
    remove: (id) => act(id, api.remove),
  };

  /** The server's answer is shown at once; the event that follows says the same. */
  async function act(id, call) {
    try {
      const answer = await call(id);
      if (call === api.remove) removed(id);
      else update(await answer);
    } catch (error) {
      const entry = entries.get(id);
      if (error.status === 404) removed(id);
      else if (entry) entry.row.show({ ...entry.row.view, error: error.message });
    }
  }

  function all(jobs) {
    const present = new Set(jobs.map(({ id }) => id));
    for (const id of [...entries.keys()]) if (!present.has(id)) removed(id);
    for (const job of jobs) update(job);
    refresh();
  }

  function update(job) {
    const entry = entries.get(job.id);
    if (!entry) return insert(job, new Row());
    const changedState = entry.job.state !== job.state;
    entry.job = job;
    show(entry);
    if (changedState) announce(text("live.state", { name: job.name, state: text(`state.${job.state}`) }));
    if (changedState) refresh();
    if (changedState && isFinished(job)) ended(job);
    updated(job);
  }

  function insert(job, row, before = null) {
    entries.set(job.id, { job, row });
    list.insertBefore(row.element, before);
    show(entries.get(job.id));
    if (!row.hasPicture && job.kind === "picture") showThumbnail(job.id, row);
    refresh();
    updated(job);
  }

  /** A job takes the place of the row of its upload. Its first event may have come before the answer to the upload. */
  function adopt(uploadRow, job, thumbnail) {
    const hadFocus = uploadRow.element.contains(document.activeElement);
    if (!entries.has(job.id)) insert(job, new Row(thumbnail), uploadRow.element);
    uploadRow.element.remove();
    if (hadFocus) entries.get(job.id).row.buttons.firstElementChild?.focus();
  }

  function removed(id) {
    const entry = entries.get(id);
    if (!entry) return;
    entries.delete(id);
    const { element } = entry.row;
    const next = element.nextElementSibling ?? element.previousElementSibling;
    const hadFocus = element.contains(document.activeElement);
    element.remove();
    if (hadFocus) (next?.querySelector(".row-actions > *") ?? byId("queue-title")).focus();
    announce(text("live.state", { name: entry.job.name, state: text("state.removed") }));
    refresh();
    updated(null);
  }

  function show({ job, row }) {
    row.show(viewOf(job, acts));
  }

  /** What stands around the rows: the buttons for all of them, and the words for an empty list. */
  function refresh() {
    const jobs = [...entries.values()].map(({ job }) => job);
    const done = jobs.filter(({ state }) => state === "done");
    const isEmpty = !list.childElementCount;
    byId("queue-empty").hidden = !isEmpty;
    byId("kept").hidden = isEmpty;
    say(byId("kept"), "queue.kept", { hours: keepHours });
    const everything = byId("download-all");
    everything.hidden = done.length < 2;
    everything.href = addresses.zip(done.map(({ id }) => id));
    say(everything, "queue.all", { count: done.length });
    byId("clear-finished").hidden = !jobs.some(isFinished);
  }

  byId("clear-finished").addEventListener("click", () => {
    byId("queue-title").focus();
    for (const { job } of [...entries.values()]) if (isFinished(job)) act(job.id, api.remove);
  });
  document.addEventListener("language", () => {
    for (const entry of entries.values()) show(entry);
  });

  return { list, all, update, removed, adopt, refresh, job: (id) => entries.get(id)?.job ?? null };
}

function isFinished({ state }) {
  return ["done", "failed", "cancelled"].includes(state);
}

/** The coarsest level of a pyramid is one small tile. */
async function showThumbnail(id, row) {
  try {
    const { levels } = await api.pyramid(id, "before");
    row.showPicture(addresses.tile(id, "before", levels.length - 1, 0, 0));
  } catch {
    // The icon stays: there may be nothing to show yet.
  }
}
