/** Start: ask the server what it offers, ask for a token if need be, and connect the parts of the page. */
import { api } from "./api.js";
import { createChosen } from "./chosen.js";
import { byId } from "./dom.js";
import { createDrop } from "./drop.js";
import { createEstimate } from "./estimate.js";
import { listen } from "./events.js";
import { createOptions } from "./options.js";
import { createQueue } from "./queue.js";
import { createStage } from "./stage.js";
import { askForToken } from "./token.js";
import { createUploads } from "./uploads.js";
import { createSwitch, quote, say, translate } from "./words.js";

const RETRY_MS = 2000;

translate();
createSwitch(byId("language"));
document.addEventListener("unauthorised", () => askForToken(() => location.reload()));
start();

async function start() {
  let offered;
  try {
    offered = await api.models();
  } catch (error) {
    if (error.status !== 401) {
      showConnection(false, error.message);
      setTimeout(start, RETRY_MS);
    }
    return;
  }
  showConnection(true);
  say(byId("device"), "device", offered);
  byId("page").hidden = false;
  connect(offered);
}

function connect(offered) {
  const announce = (sentence) => quote(byId("live"), sentence);
  document.addEventListener("language", () => announce("")); // what was said last is in the other language
  let items = [];

  const options = createOptions({ offered, changed: () => (options.check() ? estimate.update(items) : estimate.stop()) });
  const estimate = createEstimate({
    optionsFor: options.optionsFor,
    show: (item, answer) => chosen.showEstimate(item, answer),
    settled: showStart,
    refused: options.showError,
  });
  const chosen = createChosen({
    limits: offered.limits,
    announce,
    changed: (now) => {
      items = now;
      options.setKinds(new Set(items.map(({ kind }) => kind)));
      estimate.update(items);
      showStart();
    },
  });
  const stage = createStage({ job: (id) => queue.job(id) });
  const queue = createQueue({
    open: stage.open,
    updated: stage.update,
    ended,
    announce,
    keepHours: offered.keep_hours,
  });
  const uploads = createUploads({
    list: queue.list,
    arrived: queue.adopt,
    optionsFor: options.optionsFor,
    showError: options.showError,
    changed: queue.refresh,
    announce,
  });
  createDrop({ add: chosen.add, failed: (sentence) => showConnection(false, sentence) });

  /** A job may have downloaded weights, and the first one tells what computes. */
  async function ended(job) {
    if (job.error && job.error_field) options.showError(job.error_field, job.error, job.kind);
    const now = await api.models().catch(() => null);
    if (!now) return;
    options.refresh(now);
    say(byId("device"), "device", now);
  }

  function showStart() {
    const count = items.filter(({ error }) => !error).length;
    byId("start").disabled = !count;
    say(byId("start"), count ? "start.files" : "start.none", { count });
  }

  byId("options").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!options.check()) byId("outscale-other").focus();
    else if (!byId("start").disabled) startUploads();
  });

  function startUploads() {
    uploads.start(chosen.takeReady());
    byId("queue-title").focus({ preventScroll: true });
    const isLow = byId("queue-title").getBoundingClientRect().bottom > 0.7 * window.innerHeight;
    if (isLow) byId("queue-title").scrollIntoView({ block: "start" });
  }

  showStart();
  estimate.update(items);
  listen({
    jobs: queue.all,
    job: queue.update,
    removed: queue.removed,
    connected: () => showConnection(true),
    lost: () => showConnection(false),
  });
}

/** Say what is wrong with the connection in a line at the top. */
function showConnection(isThere, sentence = null) {
  const line = byId("connection");
  line.hidden = isThere;
  if (isThere) return;
  if (sentence) quote(line, sentence);
  else say(line, "connection.lost");
}
