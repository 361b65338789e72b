/** Calls to the server, and its errors. Knows nothing of elements. */
import { text } from "./words.js";

/** What went wrong, in a sentence. `status` 0: no answer came. `field`: the option it is about, or null. */
export class ApiError extends Error {
  constructor(status, sentence, field = null) {
    super(sentence);
    this.status = status;
    this.field = field;
  }
}

/** The error that an answer stands for. "unauthorised" is dispatched on the document if a token is needed. */
function errorOf(status, body) {
  if (status === 401) document.dispatchEvent(new CustomEvent("unauthorised"));
  let answer = {};
  try {
    answer = JSON.parse(body);
  } catch {
    // Not of this server: a proxy's page, say.
  }
  return new ApiError(status, answer?.error ?? text("error.answer", { status }), answer?.field ?? null);
}

/** Fetch, and throw an ApiError for anything but success. An aborted call throws the AbortError. */
export async function request(address, settings = {}) {
  let response;
  try {
    response = await fetch(address, settings);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, text("error.unreachable"));
  }
  if (!response.ok) throw errorOf(response.status, await response.text().catch(() => ""));
  return response;
}

async function json(address, settings) {
  return (await request(address, settings)).json();
}

function posted(record, signal) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(record), signal };
}

const job = (id) => `/v1/jobs/${encodeURIComponent(id)}`;

export const api = {
  openSession: (token) => request("/v1/session", posted({ token })),
  models: () => json("/v1/models"),
  samples: () => json("/v1/samples"),
  description: () => json("/openapi.json"),
  jobs: () => json("/v1/jobs"),
  estimate: (record, signal) => json("/v1/estimate", posted(record, signal)),
  cancel: (id) => json(`${job(id)}/cancel`, { method: "POST" }),
  resume: (id) => json(`${job(id)}/resume`, { method: "POST" }),
  remove: (id) => request(job(id), { method: "DELETE" }),
  pyramid: (id, side, signal) => json(`${job(id)}/${side}/pyramid`, { signal }),
  clips: (id, signal) => json(`${job(id)}/clips`, { signal }),
  bytes: async (address, signal) => (await request(address, { signal })).arrayBuffer(),
  blob: async (address, signal) => (await request(address, { signal })).blob(),
};

export const addresses = {
  result: (id) => `${job(id)}/result`,
  played: (id) => `${job(id)}/result?inline=1`,
  zip: (ids) => `/v1/results.zip?${ids.map((id) => `id=${encodeURIComponent(id)}`).join("&")}`,
  tile: (id, side, level, column, row) => `${job(id)}/${side}/tiles/${level}/${column}_${row}.png`,
  clip: (id, side, number) => `${job(id)}/${side}/clips/${number}.mp4`,
};

/**
 * Send a file with its options. Resolves with the job.
 *
 * `progressed` is called with the bytes sent. XMLHttpRequest, because fetch does not tell how much was sent.
 */
export function upload(file, options, { progressed, signal }) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(options)) form.append(name, String(value));
    form.append("file", file, file.name); // last, so that the server knows the options before the long part
    const sending = new XMLHttpRequest();
    const abort = () => sending.abort();
    signal.addEventListener("abort", abort);
    sending.upload.addEventListener("progress", (event) =>
      progressed(event.total ? (event.loaded / event.total) * file.size : 0),
    );
    sending.addEventListener("load", () => {
      if (sending.status >= 200 && sending.status < 300) resolve(JSON.parse(sending.responseText));
      else reject(errorOf(sending.status, sending.responseText));
    });
    sending.addEventListener("error", () => reject(new ApiError(0, text("error.unreachable"))));
    sending.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
    sending.addEventListener("loadend", () => signal.removeEventListener("abort", abort));
    sending.open("POST", "/v1/jobs");
    sending.send(form);
  });
}
