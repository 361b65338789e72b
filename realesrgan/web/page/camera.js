/** Where a picture lies in a view: scale and corner in device pixels. Arithmetic only. */

const LARGEST_SCALE = 32; // device pixels for one of the picture's

/** Keep the picture in the view, centred where it is smaller. A frame is {scale, left, top}, a size {width, height}. */
export function kept(frame, picture, view) {
  const along = (corner, length, room) =>
    Math.round(length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, corner)));
  return {
    scale: frame.scale,
    left: along(frame.left, picture.width * frame.scale, view.width),
    top: along(frame.top, picture.height * frame.scale, view.height),
  };
}

/** The scale that shows the whole picture. A small one is enlarged by a whole number, so that its pixels are even. */
export function fitScale(picture, view) {
  const scale = Math.min(view.width / picture.width, view.height / picture.height, LARGEST_SCALE);
  return scale > 1 ? Math.floor(scale) : scale;
}

/** The frame after zooming to `scale`, with the point of the view `at` = {x, y} staying where it is. */
export function zoomed(frame, scale, at, picture, view) {
  const smallest = Math.min(1, fitScale(picture, view));
  const wanted = Math.min(LARGEST_SCALE, Math.max(smallest, scale));
  const ratio = wanted / frame.scale;
  const moved = { scale: wanted, left: at.x - (at.x - frame.left) * ratio, top: at.y - (at.y - frame.top) * ratio };
  return kept(moved, picture, view);
}

/** The frame after moving the picture by {x, y} device pixels. */
export function panned(frame, by, picture, view) {
  return kept({ scale: frame.scale, left: frame.left + by.x, top: frame.top + by.y }, picture, view);
}
