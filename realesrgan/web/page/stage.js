/** The dialog in which a job is compared. The address names the job, so that reloading and going back work. */
import { addresses } from "./api.js";
import { BeforeAfter } from "./compare.js";
import { byId, icon, make } from "./dom.js";
import { Player } from "./player.js";
import { Viewer } from "./viewer.js";
import { quote, say } from "./words.js";

const HASH = "#compare=";

/** `job(id)` gives a job, or null while or when it is not known. */
export function createStage({ job: find }) {
  const dialog = byId("compare");
  const body = byId("compare-body");
  let shown = null; // {id, view}

  byId("compare-close").append(icon("close"));
  byId("compare-download").append(icon("download"), say(make("span"), "do.download"));
  byId("compare-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    clear();
  });
  dialog.addEventListener("keydown", (event) => shown?.view.key(event));
  window.addEventListener("hashchange", follow);

  function open(id) {
    location.hash = HASH.slice(1) + encodeURIComponent(id);
  }

  /** Show what the address says, as soon as its job is known. */
  function follow() {
    const id = location.hash.startsWith(HASH) ? decodeURIComponent(location.hash.slice(HASH.length)) : null;
    if (shown && shown.id !== id) dialog.close();
    const job = id && find(id);
    if (!job || shown) return;
    dialog.showModal();
    const element = new BeforeAfter();
    const toolbar = make("div", { class: "toolbar", role: "toolbar" });
    body.replaceChildren(element, toolbar);
    const parts = { element, toolbar, job, fullScreen };
    shown = { id, view: job.kind === "video" ? new Player(parts) : new Viewer(parts) };
    describe(job);
    element.divider.focus();
  }

  /** A job changed, or null: one was removed. */
  function update(job) {
    if (shown && !find(shown.id)) dialog.close();
    else if (!shown) follow();
    else if (job?.id === shown.id) {
      describe(job);
      shown.view.update(job);
    }
  }

  function describe(job) {
    quote(byId("compare-title"), job.name);
    say(byId("compare-facts"), "compare.facts", job);
    byId("compare-download").hidden = job.state !== "done";
    byId("compare-download").href = addresses.result(job.id);
  }

  function clear() {
    shown?.view.close();
    shown = null;
    body.replaceChildren();
    if (document.fullscreenElement) document.exitFullscreen();
  }

  // Not the dialog itself: browsers refuse to show a dialog in full screen.
  function fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else body.requestFullscreen?.();
  }

  return { open, update };
}
