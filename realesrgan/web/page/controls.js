/** The bar below a pair of videos: play, frame by frame, position, sound, full screen. */
import { iconButton, make, setIcon } from "./dom.js";
import { label, say, text } from "./words.js";

const SEEK_STEP_S = 1; // an arrow key on the position; Page Up and Page Down move ten times as far

/** Fills `toolbar`. Call `show()` whenever anything may have changed. */
export function createControls(toolbar, pair, { toggle, fullScreen }) {
  const dark = { class: "icon-button on-dark" };
  const play = iconButton("play", "play.play", toggle, { ...dark, id: "play", "data-test": "play" });
  const back = iconButton("back", "play.back", () => pair.step(-1), { ...dark, "data-test": "frame-back" });
  const forward = iconButton("forward", "play.forward", () => pair.step(1), { ...dark, "data-test": "frame-forward" });
  const seek = label(
    make("input", { type: "range", id: "seek", "data-test": "seek", min: 0, max: 1, step: "any", value: 0 }),
    "play.seek",
  );
  const time = make("span", { class: "clock", "data-test": "clock" });
  const part = make("span", { class: "toolbar-hint part" });
  const mute = iconButton("sound", "play.mute", () => (pair.after.muted = !pair.after.muted), {
    ...dark,
    "data-test": "mute",
  });
  const full = iconButton("full", "compare.full", fullScreen, { ...dark, "data-test": "full-screen" });
  toolbar.replaceChildren(play, back, forward, seek, time, part, mute, full);

  seek.addEventListener("input", () => pair.seek(Number(seek.value)));
  seek.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (!step || event.shiftKey) return;
    event.preventDefault();
    pair.seek(pair.time + step * SEEK_STEP_S);
  });

  let shown = "";

  /** Changes the elements only where what they show has changed: this runs with every picture of the screen. */
  function show() {
    const { film, isPlaying, isWaiting, after } = pair;
    const at = pair.isAtEnd ? film.seconds : pair.time;
    const hasSound = after.src !== "" && !after.src.startsWith("blob:");
    const state = [
      at.toFixed(3),
      film.end,
      film.seconds,
      isPlaying,
      isWaiting,
      after.muted,
      hasSound,
      document.documentElement.lang,
    ].join();
    if (state === shown) return;
    shown = state;
    setIcon(play, isPlaying ? "pause" : "play");
    label(play, isPlaying ? "play.pause" : "play.play");
    seek.max = film.seconds;
    seek.value = at;
    seek.setAttribute("aria-valuetext", text("play.at", { position: at, total: film.seconds }));
    seek.style.setProperty("--share", film.seconds ? at / film.seconds : 0);
    seek.style.setProperty("--done", film.seconds ? film.end / film.seconds : 0);
    say(time, "play.at", { position: at, total: film.seconds });
    part.hidden = !isWaiting && film.end >= film.seconds - 0.05;
    if (isWaiting) say(part, "compare.loading");
    else say(part, "play.part", { done: film.end });
    mute.hidden = !hasSound;
    setIcon(mute, after.muted ? "muted" : "sound");
    label(mute, after.muted ? "play.unmute" : "play.mute");
  }

  return { show };
}
