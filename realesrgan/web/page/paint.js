/** Painting the visible tiles of one pyramid at the level that fits the zoom. Knows nothing of fetching. */
import { Tiles } from "./tiles.js";

const scratch = document.createElement("canvas");

/** The finest level that is not finer than the screen: its pixels are at most one device pixel wide. */
export function levelFor(pyramid, scale) {
  const level = Math.floor(Math.log2(1 / scale) + 1e-6);
  return Math.min(pyramid.levels.length - 1, Math.max(0, level));
}

/**
 * The tiles of a layer that lie in `clip`, nearest to its middle first.
 *
 * A layer is {side, pyramid, left, top, width, height}, where the pyramid lies on the canvas, in device pixels.
 */
export function visibleTiles(layer, level, clip) {
  const { tile, levels } = layer.pyramid;
  const { columns, rows, width, height } = levels[level];
  const range = (from, to, corner, length, pixels, count) => {
    const across = (length / pixels) * tile; // device pixels of a tile
    const first = Math.max(0, Math.floor((from - corner) / across));
    const last = Math.min(count - 1, Math.ceil((to - corner) / across) - 1);
    return { first, last, middle: ((from + to) / 2 - corner) / across - 0.5 };
  };
  if (clip.right <= clip.left || clip.bottom <= clip.top) return [];
  const x = range(clip.left, clip.right, layer.left, layer.width, width, columns);
  const y = range(clip.top, clip.bottom, layer.top, layer.height, height, rows);
  const tiles = [];
  for (let row = y.first; row <= y.last; row += 1) {
    for (let column = x.first; column <= x.last; column += 1) tiles.push(Tiles.of(layer.side, level, column, row));
  }
  const distance = ({ column, row }) => Math.hypot(column - x.middle, row - y.middle);
  return tiles.sort((a, b) => distance(a) - distance(b));
}

/** Paint a layer within `clip`. Returns the visible tiles that are missing; coarser ones stand in for them. */
export function paintLayer(pen, layer, clip, tiles, isSmooth) {
  const { pyramid } = layer;
  const scale = layer.width / pyramid.width;
  const level = levelFor(pyramid, scale);
  const visible = visibleTiles(layer, level, clip);
  if (!visible.length) return [];
  pen.save();
  pen.beginPath();
  pen.rect(clip.left, clip.top, clip.right - clip.left, clip.bottom - clip.top);
  pen.clip();
  pen.imageSmoothingEnabled = isSmooth;
  pen.imageSmoothingQuality = "high";
  if (isSmooth && scale > 1) paintEnlarged(pen, layer, level, visible, tiles);
  else for (const tile of visible) paintTile(pen, layer, tile, tiles);
  pen.restore();
  return visible.filter(({ key }) => !tiles.has(key));
}

/** Tiles enlarged one by one would not blend into each other and leave seams: put them together, then enlarge. */
function paintEnlarged(pen, layer, level, visible, tiles) {
  const { tile, levels } = layer.pyramid;
  const columns = visible.map(({ column }) => column);
  const rows = visible.map(({ row }) => row);
  const left = Math.min(...columns) * tile;
  const top = Math.min(...rows) * tile;
  const width = Math.min(levels[level].width, (Math.max(...columns) + 1) * tile) - left;
  const height = Math.min(levels[level].height, (Math.max(...rows) + 1) * tile) - top;
  scratch.width = width; // clears it, too
  scratch.height = height;
  const flat = { ...layer, left: -left, top: -top, width: levels[level].width, height: levels[level].height };
  for (const one of visible) paintTile(scratch.getContext("2d"), flat, one, tiles);
  const x = layer.width / levels[level].width;
  const y = layer.height / levels[level].height;
  pen.drawImage(scratch, layer.left + left * x, layer.top + top * y, width * x, height * y);
}

/** Edges are rounded to device pixels, so that neighbours meet without a gap. */
function paintTile(pen, layer, { side, level, column, row, key }, tiles) {
  const { tile, levels } = layer.pyramid;
  const own = levels[level];
  const right = Math.min((column + 1) * tile, own.width);
  const bottom = Math.min((row + 1) * tile, own.height);
  const x = (pixel) => Math.round(layer.left + (pixel / own.width) * layer.width);
  const y = (pixel) => Math.round(layer.top + (pixel / own.height) * layer.height);
  const place = [x(column * tile), y(row * tile), x(right) - x(column * tile), y(bottom) - y(row * tile)];
  const bitmap = tiles.get(key);
  if (bitmap) {
    pen.drawImage(bitmap, ...place);
    return;
  }
  for (let coarser = level + 1; coarser < levels.length; coarser += 1) {
    const away = coarser - level;
    const stand = tiles.get(Tiles.of(side, coarser, column >> away, row >> away).key);
    if (!stand) continue;
    const ratioX = levels[coarser].width / own.width;
    const ratioY = levels[coarser].height / own.height;
    const from = [column * tile * ratioX - (column >> away) * tile, row * tile * ratioY - (row >> away) * tile];
    pen.drawImage(stand, ...from, (right - column * tile) * ratioX, (bottom - row * tile) * ratioY, ...place);
    return;
  }
}
