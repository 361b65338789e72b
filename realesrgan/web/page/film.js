/** Frames and times of a film that is known clip by clip. Arithmetic only. */

const EMPTY = { start: 0, seconds: 0, frames: 0 };

/** `clips` are {start, seconds, frames} in order; `seconds` is the whole length, or null while unknown. */
export class Film {
  constructor(clips, seconds) {
    this.clips = clips;
    this.start = clips[0]?.start ?? 0;
    const { start, seconds: length } = clips.at(-1) ?? EMPTY;
    this.end = start + length; // of what is finished
    this.seconds = Math.max(seconds ?? 0, this.end);
  }

  /** The clip and the frame in it at a time: {index, frame}. */
  #at(time) {
    const after = this.clips.findIndex(({ start }) => start > time);
    const index = Math.max(0, (after === -1 ? this.clips.length : after) - 1);
    const { start, seconds, frames } = this.clips[index] ?? EMPTY;
    const frame = frames ? Math.floor(((time - start) / seconds) * frames + 1e-6) : 0;
    return { index, frame: Math.min(Math.max(0, frame), Math.max(0, frames - 1)) };
  }

  /** The middle of a frame: both videos show the same one there, however their timestamps are rounded. */
  #middle({ index, frame }) {
    const { start, seconds, frames } = this.clips[index] ?? EMPTY;
    return frames ? start + ((frame + 0.5) * seconds) / frames : start;
  }

  /** The middle of the frame that is shown at a time. */
  snapped(time) {
    return this.#middle(this.#at(time));
  }

  /** The middle of the next frame, or of the one before for `direction` -1; at either end the same frame. */
  stepped(time, direction) {
    let { index, frame } = this.#at(time);
    frame += direction;
    if (frame < 0 && index > 0) frame = this.clips[(index -= 1)].frames - 1;
    else if (frame >= (this.clips[index]?.frames ?? 0) && index + 1 < this.clips.length)
      [index, frame] = [index + 1, 0];
    return this.#middle({
      index,
      frame: Math.min(Math.max(0, frame), Math.max(0, (this.clips[index]?.frames ?? 1) - 1)),
    });
  }

  /** Seconds from one frame to the next around a time. */
  frameSeconds(time) {
    const { seconds, frames } = this.clips[this.#at(time).index] ?? EMPTY;
    return frames ? seconds / frames : 1 / 25;
  }
}
