/** What a job's row shows: its state, progress and errors in words, and what can be done with it. */
import { addresses } from "./api.js";
import { text, withField } from "./words.js";

const SOON_MS = 6 * 3600 * 1000; // when a result is removed is said on its row once it is this near

/** The view that row.js shows. `acts` maps names of actions to functions of an id. */
export function viewOf(job, acts) {
  return {
    id: job.id,
    name: job.name,
    kind: job.kind,
    state: job.state,
    line: lineOf(job),
    facts: factsOf(job),
    share: shareOf(job),
    notes: job.notes,
    warnings: job.warnings,
    error: job.error && withField(job.error, job.error_field),
    actions: actionsOf(job, acts),
  };
}

function lineOf(job) {
  if (job.state === "queued") return job.position === null ? text("row.queued_plain") : text("row.queued", job);
  if (job.state === "running") return runningLine(job);
  if (job.state === "done") return text("row.done", job);
  if (job.state === "cancelled" && job.kind === "video" && job.done && job.total)
    return text("row.cancelled_part", job);
  return text(`row.${job.state}`);
}

function runningLine(job) {
  const parts = [text(`row.${job.stage ?? "starting"}`, job)];
  const isCounting = job.stage === "restoring" || job.stage === "writing";
  if (isCounting && job.kind === "video" && job.done)
    parts.push(text("row.frames", { done: Math.floor(job.done), total: job.total }));
  else if (isCounting && job.total) parts.push(text("row.percent", { share: job.done / job.total }));
  if (job.seconds_left !== null && isCounting) parts.push(text("row.left", { seconds: job.seconds_left }));
  return parts.join(" · ");
}

function shareOf(job) {
  if (job.state === "queued") return job.done && job.total ? job.done / job.total : 0;
  if (job.state !== "running") return undefined;
  if (job.stage === "downloading") return job.download?.total ? job.download.done / job.download.total : null;
  if (job.stage === "loading" || !job.total) return null;
  return Math.min(1, job.done / job.total);
}

function factsOf({ options, expires }) {
  const facts = text("row.options", {
    model: options.model_name,
    outscale: options.outscale,
    face: options.face_enhance,
    weight: options.face_weight,
    fp32: options.fp32,
  });
  const isSoon = expires && new Date(expires) - Date.now() < SOON_MS;
  return isSoon ? `${facts} · ${text("row.until", { expires })}` : facts;
}

function actionsOf(job, acts) {
  const bind = (...names) => Object.fromEntries(names.map((name) => [name, () => acts[name](job.id)]));
  const watch = job.kind === "video" && (job.clips > 0 || job.state === "done") ? bind("watch") : {};
  if (job.state === "queued" || job.state === "running") return { ...watch, ...bind("cancel") };
  if (job.state === "cancelled") return { ...watch, ...bind("resume", "remove") };
  if (job.state === "failed") return { ...watch, ...bind("retry", "remove") };
  const show = job.kind === "video" ? watch : bind("compare");
  return { ...show, download: addresses.result(job.id), ...bind("remove") };
}
