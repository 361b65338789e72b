/** Feeding one video element clip by clip, through Media Source Extensions. Only what is near the position is held. */
import { api } from "./api.js";

const AHEAD_S = 35;
const BEHIND_S = 25;
const OVERLAP_S = 0.002; // clips meet within the rounding of timestamps: never cut into a neighbour's first frame

const Source = window.MediaSource ?? window.ManagedMediaSource; // iPhones have only the latter

/** Whether this browser plays clips of this type; `type` may be null. */
export function canFeed(type) {
  return Boolean(type && Source?.isTypeSupported(type));
}

/** `failed(error)` is called when a clip cannot be fetched or decoded. A clip is {number, start, seconds}. */
export class Feed {
  #video;
  #addressOf;
  #failed;
  #source = new Source();
  #buffer = null;
  #clips = [];
  #isComplete = false;
  #seconds = null;
  #held = new Map(); // number → clip
  #flight = null; // {clip, abort}
  #isPumping = false;
  #isClosed = false;

  constructor(video, type, { addressOf, failed }) {
    this.#video = video;
    this.#addressOf = addressOf;
    this.#failed = failed;
    video.disableRemotePlayback = true; // a condition of ManagedMediaSource
    this.address = URL.createObjectURL(this.#source);
    video.src = this.address;
    const opened = () => {
      this.#buffer = this.#source.addSourceBuffer(type);
      this.pump();
    };
    this.#source.addEventListener("sourceopen", opened, { once: true });
    for (const name of ["timeupdate", "seeking"]) video.addEventListener(name, () => this.pump());
    video.addEventListener("error", () => this.#isClosed || failed(video.error));
  }

  /** The finished clips in order. `seconds` is the length of the film, or null. */
  setClips(clips, isComplete, seconds) {
    this.#clips = clips;
    this.#isComplete = isComplete;
    this.#seconds = seconds;
    this.pump();
  }

  close() {
    this.#isClosed = true;
    this.#flight?.abort.abort();
    URL.revokeObjectURL(this.address);
  }

  /** Fetch and append what is missing around the position. One at a time; calls meanwhile only redirect it. */
  async pump() {
    if (this.#flight && !this.#isNear(this.#flight.clip)) this.#flight.abort.abort();
    if (this.#isPumping || !this.#buffer || this.#isClosed) return;
    this.#isPumping = true;
    try {
      for (let clip = this.#next(); clip && !this.#isClosed; clip = this.#next()) {
        await this.#dropFar();
        await this.#fetch(clip);
      }
      this.#finish();
    } catch (error) {
      if (!this.#isClosed) this.#failed(error);
    }
    this.#isPumping = false;
  }

  #isNear({ start, seconds }) {
    const at = this.#video.currentTime;
    return start + seconds > at - BEHIND_S && start < at + AHEAD_S;
  }

  /** What is played next comes first, then what lies behind. */
  #next() {
    const at = this.#video.currentTime;
    const missing = this.#clips.filter((clip) => !this.#held.has(clip.number) && this.#isNear(clip));
    return missing.find(({ start, seconds }) => start + seconds > at) ?? missing.at(-1);
  }

  async #fetch(clip) {
    this.#flight = { clip, abort: new AbortController() };
    try {
      const bytes = await api.bytes(this.#addressOf(clip.number), this.#flight.abort.signal);
      if (!this.#isClosed) await this.#append(clip, bytes);
    } catch (error) {
      if (error.name !== "AbortError") throw error; // no longer near: the loop goes on with what is
    } finally {
      this.#flight = null;
    }
  }

  async #append(clip, bytes) {
    try {
      await this.#change(() => this.#buffer.appendBuffer(bytes));
    } catch (error) {
      if (error.name !== "QuotaExceededError") throw error;
      await this.#drop((held) => held.start + held.seconds < this.#video.currentTime - 1);
      await this.#change(() => this.#buffer.appendBuffer(bytes));
    }
    this.#held.set(clip.number, clip);
    if (this.#seconds && this.#source.readyState === "open") {
      this.#source.duration = Math.max(this.#seconds, this.#buffer.buffered.end(this.#buffer.buffered.length - 1));
    }
  }

  #dropFar() {
    return this.#drop((clip) => !this.#isNear(clip));
  }

  async #drop(isUnwanted) {
    for (const clip of [...this.#held.values()].filter(isUnwanted)) {
      const end = clip.start + clip.seconds - OVERLAP_S;
      if (end > clip.start) await this.#change(() => this.#buffer.remove(clip.start, end));
      this.#held.delete(clip.number);
    }
  }

  /** Start a change of the buffer, and wait for its end. */
  #change(start) {
    return new Promise((resolve, reject) => {
      const buffer = this.#buffer;
      const settle = (done) => () => {
        buffer.removeEventListener("updateend", ended);
        buffer.removeEventListener("error", failed);
        done();
      };
      const ended = settle(resolve);
      const failed = settle(() => reject(new DOMException("", "EncodingError")));
      buffer.addEventListener("updateend", ended);
      buffer.addEventListener("error", failed);
      try {
        start();
      } catch (error) {
        settle(() => reject(error))();
      }
    });
  }

  /** Tell the element that nothing comes after the last clip, so that it ends instead of waiting. */
  #finish() {
    const last = this.#clips.at(-1);
    const isAtEnd = this.#isComplete && last && this.#held.has(last.number);
    if (isAtEnd && this.#source.readyState === "open" && !this.#buffer.updating) this.#source.endOfStream();
  }
}
