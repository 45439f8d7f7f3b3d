// What a label map can hold, as in KiTS: label 1 and up, with its colour (the same as in style.css).

export const classes = [
  { name: "kidney", rgb: [76, 201, 160] },
  { name: "tumor", rgb: [255, 107, 94] },
  { name: "cyst", rgb: [98, 168, 255] },
] as const;
