/** The tiles of a job's pictures: fetched as they are wanted, aborted when they are not, kept up to a bound. */
import { addresses, api } from "./api.js";

const FEWEST_KEPT = 200; // 256 KB each once decoded
const AT_ONCE = 4; // browsers open six connections to a server; events and playing need some
const RETRY_MS = 2000;

/** A tile is {side, level, column, row, key}; `arrived()` is called after each one. */
export class Tiles {
  #job;
  #arrived;
  #kept = new Map(); // key → ImageBitmap, least recently used first
  #flying = new Map(); // key → AbortController
  #failed = new Set();
  #wanted = [];
  #isClosed = false;

  constructor(job, arrived) {
    this.#job = job;
    this.#arrived = arrived;
  }

  static of(side, level, column, row) {
    return { side, level, column, row, key: `${side}/${level}/${column}_${row}` };
  }

  has(key) {
    return this.#kept.has(key);
  }

  /** The tile's bitmap, or null. Being asked for keeps it longer. */
  get(key) {
    const bitmap = this.#kept.get(key);
    if (!bitmap) return null;
    this.#kept.delete(key);
    this.#kept.set(key, bitmap);
    return bitmap;
  }

  /** Fetch these, first ones first, and nothing else. */
  want(tiles) {
    this.#wanted = tiles.filter(({ key }) => !this.#kept.has(key) && !this.#failed.has(key));
    const keys = new Set(this.#wanted.map(({ key }) => key));
    for (const [key, flight] of this.#flying) if (!keys.has(key)) flight.abort();
    this.#fetchNext();
  }

  /** Drop the least recently used beyond the bound, which has room for what a large screen shows twice over. */
  trim(shown) {
    const bound = Math.max(FEWEST_KEPT, 2 * shown);
    for (const [key, bitmap] of this.#kept) {
      if (this.#kept.size <= bound) return;
      bitmap.close();
      this.#kept.delete(key);
    }
  }

  close() {
    this.#isClosed = true;
    for (const flight of this.#flying.values()) flight.abort();
    for (const bitmap of this.#kept.values()) bitmap.close();
    this.#kept.clear();
  }

  #fetchNext() {
    for (const tile of this.#wanted) {
      if (this.#flying.size >= AT_ONCE) return;
      if (!this.#flying.has(tile.key) && !this.#kept.has(tile.key) && !this.#failed.has(tile.key)) this.#fetch(tile);
    }
  }

  async #fetch({ side, level, column, row, key }) {
    const flight = new AbortController();
    this.#flying.set(key, flight);
    try {
      const blob = await api.blob(addresses.tile(this.#job, side, level, column, row), flight.signal);
      const bitmap = await createImageBitmap(blob);
      if (this.#isClosed) bitmap.close();
      else this.#kept.set(key, bitmap);
    } catch (error) {
      if (error.name !== "AbortError") this.#retryLater(key);
    }
    this.#flying.delete(key);
    if (this.#isClosed) return;
    this.#fetchNext();
    this.#arrived();
  }

  #retryLater(key) {
    this.#failed.add(key);
    setTimeout(() => {
      this.#failed.delete(key);
      if (!this.#isClosed) this.#arrived();
    }, RETRY_MS);
  }
}
