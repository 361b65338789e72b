/** The size of a chosen file and a thumbnail, as far as this browser can read it. */

const VIDEO_NAMES = /\.(mp4|m4v|mkv|mov|webm|avi|ts|m2ts|mts|flv|wmv|mpg|mpeg|ogv|3gp)$/i;
const THUMBNAIL = 128; // device pixels, for 64 CSS pixels on most screens
const PATIENCE_MS = 6000; // a file that a browser reads at all is opened long before
const FRAMES_TIMED = 6;

/** "video" or "picture". Browsers know fewer types than the server, so the name counts as well. */
export function kindOf(file) {
  return file.type.startsWith("video/") || VIDEO_NAMES.test(file.name) ? "video" : "picture";
}

/**
 * Resolve with {size: {width, height, frames, seconds}, thumbnail: canvas}, or null where the browser cannot read it.
 *
 * `frames` and `seconds` are null for pictures; `frames` also where frames could not be timed.
 */
export async function measure(file) {
  const address = URL.createObjectURL(file);
  try {
    return await (kindOf(file) === "video" ? measureVideo(address) : measurePicture(address));
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(address);
  }
}

async function measurePicture(address) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  const size = { width: picture.naturalWidth, height: picture.naturalHeight, frames: null, seconds: null };
  return { size, thumbnail: thumbnailOf(picture, size) };
}

async function measureVideo(address) {
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.preload = "auto";
  video.src = address;
  try {
    await once(video, "loadeddata");
    const size = { width: video.videoWidth, height: video.videoHeight, seconds: video.duration, frames: null };
    if (!size.width || !Number.isFinite(size.seconds)) return null;
    const thumbnail = thumbnailOf(video, size);
    const rate = await frameRate(video).catch(() => null);
    size.frames = rate && Math.max(1, Math.round(size.seconds * rate));
    return { size, thumbnail };
  } finally {
    video.removeAttribute("src");
    video.load();
  }
}

function once(element, name) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("too slow")), PATIENCE_MS);
    const settle = (done) => () => {
      clearTimeout(timer);
      done();
    };
    element.addEventListener(name, settle(resolve), { once: true });
    element.addEventListener(
      "error",
      settle(() => reject(element.error)),
      { once: true },
    );
  });
}

/** Frames a second, which no browser tells: from the median step between the first frames, as one may be skipped. */
async function frameRate(video) {
  if (!video.requestVideoFrameCallback) return null;
  const times = [];
  const timed = new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error("too slow")), PATIENCE_MS / 4);
    const note = (_, { mediaTime }) => {
      times.push(mediaTime);
      if (times.length >= FRAMES_TIMED) resolve();
      else video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
  });
  await video.play();
  await timed;
  video.pause();
  const gaps = times
    .slice(1)
    .map((time, index) => time - times[index])
    .sort((a, b) => a - b);
  const median = gaps[Math.floor(gaps.length / 2)];
  return median > 0 ? 1 / median : null;
}

/** A square cut from the middle. */
function thumbnailOf(source, { width, height }) {
  const side = Math.min(width, height);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = THUMBNAIL;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(source, (width - side) / 2, (height - side) / 2, side, side, 0, 0, THUMBNAIL, THUMBNAIL);
  return canvas;
}
