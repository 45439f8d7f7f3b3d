// The data of this example, drawn as it is needed: cells under a microscope. Ellipses that touch, brighter at their rims, on
// an uneven background, with noise. What is to be found in every pixel: background, the inside of a cell, or a border.

export const CLASSES = ["background", "cell", "border"];

const BORDER = 1.6; // pixels

/** Ellipses that overlap little: centre, half axes, the cosine and sine of their angle, brightness. */
function placeCells(rng, size) {
  const cells = [];
  for (let tries = 0; tries < 60 && cells.length < size / 8; tries++) {
    const [x, y] = [size * rng.uniform(), size * rng.uniform()];
    const [a, b] = [6 + 5 * rng.uniform(), 5 + 4 * rng.uniform()];
    const angle = Math.PI * rng.uniform();
    const cell = { x, y, a, b, cos: Math.cos(angle), sin: Math.sin(angle), light: 0.2 + 0.35 * rng.uniform() };
    if (cells.every((c) => Math.hypot(c.x - x, c.y - y) > 0.8 * (Math.min(c.a, c.b) + Math.min(a, b))))
      cells.push(cell);
  }
  return cells;
}

/** About how many pixels lie between a point and the outline of a cell; negative outside. */
function depthIn({ x, y, a, b, cos, sin }, px, py) {
  const [dx, dy] = [px - x, py - y];
  const radius = Math.hypot((dx * cos + dy * sin) / a, (dy * cos - dx * sin) / b);
  return (1 - radius) * Math.min(a, b);
}

/**
 * A batch of `count` images [count, 1, size, size] and their labels [count, size, size], as the steps take them.
 * @returns {Record<"images" | "labels", import("wgrad").HostTensor>}
 */
export function drawBatch({ count, size, rng }) {
  const images = new Float32Array(count * size * size);
  const labels = new Int32Array(count * size * size);
  for (let n = 0; n < count; n++) {
    const cells = placeCells(rng, size);
    const [tilt, turn] = [0.3 * rng.uniform(), 2 * Math.PI * rng.uniform()];
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++) {
        const i = (n * size + y) * size + x;
        const depths = cells.map((cell) => depthIn(cell, x, y));
        const [first = -Infinity, second = -Infinity] = [...depths].sort((p, q) => q - p);
        const inside = Math.min(first, first - second); // two cells that meet share a border
        labels[i] = first < 0 ? 0 : inside < BORDER ? 2 : 1;
        const light = first < 0 ? 0 : cells[depths.indexOf(first)].light + 0.15 * Math.exp(-first / 2);
        const background = 0.15 + tilt * ((x * Math.cos(turn) + y * Math.sin(turn)) / size);
        images[i] = background + light + 0.08 * rng.normal();
      }
  }
  return {
    images: { shape: [count, 1, size, size], dtype: "f32", data: images },
    labels: { shape: [count, size, size], dtype: "i32", data: labels },
  };
}

/** Dice of every class: twice the pixels that both call so, by those that either does. */
export function diceOf(predicted, labels) {
  return CLASSES.map((_, k) => {
    let [both, either] = [0, 0];
    labels.forEach((label, i) => {
      both += Number(label === k && predicted[i] === k);
      either += Number(label === k) + Number(predicted[i] === k);
    });
    return either === 0 ? 1 : (2 * both) / either;
  });
}
