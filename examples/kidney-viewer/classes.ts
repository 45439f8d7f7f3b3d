// Colours of what a label map can hold, by name.

export const colourOf: Readonly<Record<string, readonly [red: number, green: number, blue: number]>> = {
  kidney: [76, 201, 160],
  tumor: [255, 107, 94],
  cyst: [98, 168, 255],
  mass: [255, 107, 94], // what the coarse network alone does not tell apart
};
