/** Two video elements that play as one. "After" leads, because it may have the sound; "before" is kept in step. */
import { Film } from "./film.js";

const ENOUGH = 3; // HAVE_FUTURE_DATA: the next frame is there
const TOO_FAR_S = 0.15; // beyond this, running faster would be seen: jump
const CLOSE_S = 0.006;
const MOST_FASTER = 0.15; // of the speed
const CATCH_UP = 4; // share of a drift that is made up for in a second

/** `changed()` is called at each turn of the screen while open. */
export class Pair {
  film = new Film([], null);
  isPlaying = false; // what is asked for; both may be paused meanwhile, waiting for data
  isWaiting = false;
  #turn = 0;

  constructor(before, after, changed) {
    this.before = before;
    this.after = after;
    const turn = () => {
      this.#keepInStep();
      changed();
      this.#turn = requestAnimationFrame(turn);
    };
    turn();
  }

  close() {
    cancelAnimationFrame(this.#turn);
    this.#each((video) => video.pause());
  }

  get time() {
    return this.after.currentTime;
  }

  play() {
    if (this.isAtEnd) this.seek(this.film.start);
    this.isPlaying = true;
    this.#keepInStep();
  }

  /** Both stand on the same frame afterwards. */
  pause() {
    this.isPlaying = false;
    this.seek(this.time);
  }

  seek(time) {
    const wanted = this.film.snapped(Math.min(Math.max(this.film.start, time), this.film.end));
    if (!this.isPlaying) this.#each((video) => video.pause());
    this.#each((video) => {
      video.playbackRate = 1;
      if (video.currentTime !== wanted) video.currentTime = wanted;
    });
  }

  step(direction) {
    this.isPlaying = false;
    this.seek(this.film.stepped(this.time, direction));
  }

  #each(act) {
    act(this.before);
    act(this.after);
  }

  /** Whether the last frame is shown. */
  get isAtEnd() {
    return this.film.end > 0 && this.time >= this.film.seconds - 0.75 * this.film.frameSeconds(this.film.end);
  }

  #keepInStep() {
    if (this.isPlaying && (this.isAtEnd || this.after.ended)) return this.pause();
    const isReady = [this.before, this.after].every(
      ({ readyState, seeking, ended }) => (readyState >= ENOUGH || ended) && !seeking,
    );
    this.isWaiting = this.isPlaying && !isReady;
    if (!this.isPlaying) return;
    // If one waits for data, the other waits for it.
    this.#each((video) => {
      if (isReady && video.paused && !video.ended)
        video.play().catch(() => {}); // a pause that follows at once rejects it
      else if (!isReady && !video.paused && !video.seeking && video.readyState >= ENOUGH) video.pause();
    });
    if (isReady) this.#correct();
  }

  #correct() {
    const drift = this.before.currentTime - this.after.currentTime;
    if (this.before.ended) return;
    if (Math.abs(drift) > TOO_FAR_S) {
      this.before.currentTime = this.after.currentTime;
      this.before.playbackRate = 1;
      return;
    }
    const faster = Math.abs(drift) < CLOSE_S ? 0 : Math.min(MOST_FASTER, Math.max(-MOST_FASTER, -drift * CATCH_UP));
    const rate = Math.round((1 + faster) * 100) / 100;
    if (this.before.playbackRate !== rate) this.before.playbackRate = rate;
  }
}
