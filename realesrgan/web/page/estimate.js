/** What the chosen files will become and how long it takes, asked of the server as files and options change. */
import { api } from "./api.js";
import { byId } from "./dom.js";
import { say } from "./words.js";

const SETTLING_MS = 200; // a slider that is dragged asks once

/**
 * `optionsFor(kind)` gives the options; `show(item, answer)` shows one file's answer; `settled()` is called after all.
 * `refused(field, sentence, kind)` says that an option is wrong.
 */
export function createEstimate({ optionsFor, show, settled, refused }) {
  let timer;
  let asking = new AbortController();

  /** Forget what is asked: the options cannot be sent as they are. */
  function stop() {
    clearTimeout(timer);
    asking.abort();
  }

  function update(items) {
    stop();
    asking = new AbortController();
    if (!items.length) return say(byId("estimate"), "estimate.none");
    timer = setTimeout(() => ask([...items], asking.signal), SETTLING_MS);
  }

  async function ask(items, signal) {
    if (items.some((item) => item.size)) say(byId("estimate"), "estimate.working");
    const answers = new Map(); // equal questions are asked once: a folder of photographs has a few sizes
    const sum = { seconds: 0, bytes: 0, waiting: 0, unknown: 0 };
    for (const item of items) {
      const answer = await answerFor(item, answers, signal);
      if (signal.aborted) return;
      if (item.tooLarge) continue;
      show(item, answer);
      if (item.error) continue;
      if (answer?.seconds == null) sum.unknown += 1;
      sum.seconds += answer?.seconds ?? 0;
      sum.bytes += answer?.bytes ?? 0;
      sum.waiting = Math.max(sum.waiting, answer?.waiting_seconds ?? 0);
    }
    say(byId("estimate"), "estimate.sum", sum);
    settled();
  }

  async function answerFor(item, answers, signal) {
    if (!item.size) return null;
    const { width, height, frames } = item.size;
    const question = { kind: item.kind, width, height, frames, options: optionsFor(item.kind) };
    const key = JSON.stringify(question);
    if (!answers.has(key)) answers.set(key, await asked(question, signal));
    return answers.get(key);
  }

  /** Null if there is no answer; what is wrong with an option is said beside it. */
  async function asked(question, signal) {
    try {
      return await api.estimate(question, signal);
    } catch (error) {
      if (error.field) refused(error.field, error.message, question.kind);
      return null;
    }
  }

  return { update, stop };
}
