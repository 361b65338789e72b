/** The stream of job events, which connects again by itself. Knows nothing of elements. */
import { api } from "./api.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;

/**
 * Listen to all jobs of this browser.
 *
 * `told` has jobs(list), job(job), removed(id), connected(), lost(). EventSource gives up for good when the server
 * answers with an error, as a proxy does while the server restarts; so a new one is made each time.
 */
export function listen(told) {
  let wait = FIRST_WAIT_MS;
  let source;

  function connect() {
    source = new EventSource("/v1/events");
    source.addEventListener("open", () => {
      wait = FIRST_WAIT_MS;
      told.connected();
    });
    source.addEventListener("jobs", (event) => told.jobs(JSON.parse(event.data).jobs));
    source.addEventListener("job", (event) => told.job(JSON.parse(event.data)));
    source.addEventListener("removed", (event) => told.removed(JSON.parse(event.data).id));
    source.addEventListener("error", again);
  }

  async function again() {
    source.close();
    told.lost();
    try {
      await api.jobs(); // an EventSource does not tell why it failed; this finds out that a token is needed
    } catch (error) {
      if (error.status === 401) return;
    }
    setTimeout(connect, wait);
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  }

  connect();
  window.addEventListener("pagehide", () => source.close());
  window.addEventListener("pageshow", (event) => event.persisted && connect());
}
