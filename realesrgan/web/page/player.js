/** Two videos in one view, before and after, from the first finished clip on. */
import { addresses, api } from "./api.js";
import { createControls } from "./controls.js";
import { make } from "./dom.js";
import { canFeed, Feed } from "./feed.js";
import { Film } from "./film.js";
import { Pair } from "./pair.js";
import { say } from "./words.js";

const SIDES = ["before", "after"];

export class Player {
  #element;
  #toolbar;
  #fullScreen;
  #job;
  #clipsShown = -1; // clips of the job when they were last asked for
  #abort = new AbortController();
  #message = make("p", { class: "stage-message", role: "status", "data-test": "message" });
  #videos = {};
  #feeds = {};
  #pair = null;
  #controls = null;

  /** `element.times` gives {before, after}: both positions in seconds. */
  constructor({ element, toolbar, job, fullScreen }) {
    this.#element = element;
    this.#toolbar = toolbar;
    this.#fullScreen = fullScreen;
    this.#job = job;
    for (const side of SIDES) {
      const attributes = {
        id: `${side}-video`,
        class: `film film-${side}`,
        playsinline: true,
        "data-test": `${side}-video`,
      };
      this.#videos[side] = make("video", attributes);
      this.#videos[side].muted = true;
    }
    const { before, after } = this.#videos;
    element.prepend(after, before, this.#message);
    Object.defineProperty(element, "times", { get: () => ({ before: before.currentTime, after: after.currentTime }) });
    element.addEventListener("divide", () => this.#clip());
    after.addEventListener("click", () => this.#toggle());
    before.addEventListener("click", () => this.#toggle());
    this.observer = new ResizeObserver(() => this.#layOut());
    this.observer.observe(element);
    say(this.#message, "play.soon");
    this.update(job);
  }

  /** The job changed: ask for its clips when there are more of them, or when it has ended. */
  async update(job) {
    const hasEnded = job.state !== this.#job.state;
    this.#job = job;
    if (job.clips === this.#clipsShown && !hasEnded) return;
    this.#clipsShown = job.clips;
    try {
      this.#show(await api.clips(job.id, this.#abort.signal));
    } catch (error) {
      if (error.name !== "AbortError") this.#fail(error);
    }
  }

  close() {
    this.#abort.abort();
    this.observer.disconnect();
    this.#pair?.close();
    for (const feed of Object.values(this.#feeds)) feed.close();
    for (const video of Object.values(this.#videos)) {
      video.removeAttribute("src");
      video.load();
    }
  }

  /** Keys that work wherever the focus is in the dialog. */
  key(event) {
    if (!this.#pair || event.ctrlKey || event.metaKey || event.altKey) return;
    const isPressing = event.target.closest("button, a") !== null; // there the space bar presses
    if (event.key === ",") this.#pair.step(-1);
    else if (event.key === ".") this.#pair.step(1);
    else if ((event.key === " " && !isPressing) || event.key === "k") this.#toggle();
    else return;
    event.preventDefault();
  }

  #toggle() {
    if (this.#pair?.isPlaying) this.#pair.pause();
    else this.#pair?.play();
  }

  #show(answer) {
    const { clips, complete: isComplete, seconds } = answer;
    const isPlayable = canFeed(answer.before_type) && canFeed(answer.after_type);
    if (!isPlayable && (clips.length || isComplete || this.#job.state === "done")) {
      say(this.#message, this.#job.state === "done" ? "play.cannot" : "play.cannot_yet").hidden = false;
      return;
    }
    if (clips.length <= (this.#pair?.film.clips.length ?? 0) && !isComplete) return; // an answer that was overtaken
    if (!clips.length) return;
    const length = seconds ?? this.#job.source.seconds;
    if (!this.#pair) this.#begin(answer);
    const isFirst = !this.#pair.film.clips.length;
    this.#pair.film = new Film(clips, length);
    for (const feed of Object.values(this.#feeds)) feed.setClips(clips, isComplete, length);
    if (isFirst) this.#pair.seek(this.#pair.film.start);
  }

  #begin(answer) {
    this.#message.hidden = true;
    this.#pair = new Pair(this.#videos.before, this.#videos.after, () => this.#controls?.show());
    this.#feed("before", answer.before_type);
    if (this.#playsResult(answer)) this.#playResult(answer);
    else this.#feed("after", answer.after_type);
    this.#controls = createControls(this.#toolbar, this.#pair, {
      toggle: () => this.#toggle(),
      fullScreen: this.#fullScreen,
    });
    for (const video of Object.values(this.#videos)) {
      video.addEventListener("loadedmetadata", () => this.#layOut());
    }
  }

  #feed(side, type) {
    const addressOf = (number) => addresses.clip(this.#job.id, side, number);
    this.#feeds[side] = new Feed(this.#videos[side], type, { addressOf, failed: (error) => this.#fail(error) });
  }

  /** A finished MP4 has the sound that clips lack. */
  #playsResult({ complete: isComplete, after_type: type }) {
    const { state, result } = this.#job;
    return (
      state === "done" && isComplete && result?.type === "video/mp4" && this.#videos.after.canPlayType(type) !== ""
    );
  }

  #playResult(answer) {
    const { after } = this.#videos;
    after.muted = false;
    after.preload = "auto";
    after.src = addresses.played(this.#job.id);
    const instead = () => {
      after.muted = true;
      this.#feed("after", answer.after_type);
      this.#feeds.after.setClips(answer.clips, answer.complete, answer.seconds);
      this.#pair.seek(this.#pair.film.start);
    };
    after.addEventListener("error", instead, { once: true });
  }

  #fail(error) {
    say(this.#message, "play.failed", { error: error?.message || String(error?.name ?? error) }).hidden = false;
  }

  /** Both videos fill the same rectangle, as large as fits: that of the result, which is what is looked at. */
  #layOut() {
    const { width: roomX, height: roomY } = this.#element.getBoundingClientRect();
    const { videoWidth, videoHeight } = this.#videos.after.videoWidth ? this.#videos.after : this.#videos.before;
    if (!videoWidth || !roomX) return;
    const scale = Math.min(roomX / videoWidth, roomY / videoHeight);
    const [width, height] = [Math.round(videoWidth * scale), Math.round(videoHeight * scale)];
    this.box = { left: Math.round((roomX - width) / 2), top: Math.round((roomY - height) / 2), width };
    for (const video of Object.values(this.#videos)) {
      Object.assign(video.style, {
        width: `${width}px`,
        height: `${height}px`,
        left: `${this.box.left}px`,
        top: `${this.box.top}px`,
      });
    }
    this.#element.bounds = { left: this.box.left, right: this.box.left + width };
    this.#clip();
  }

  #clip() {
    if (!this.box) return;
    const hidden = Math.max(0, this.box.width - (this.#element.x - this.box.left));
    this.#videos.before.style.clipPath = `inset(0 ${hidden}px 0 0)`;
  }
}
