// A few words on a picture: capitals, digits and signs of 5 x 7 pixels, enlarged. Other characters are left blank.

import { paste, type Picture, type Rgb } from "./picture.ts";

const [WIDE, HIGH] = [5, 7];

/** Rows from the top: each character is five dots as a digit of base 32. */
const GLYPHS: Readonly<Record<string, string>> = {
  ...{ A: "4AHHVHH", B: "UHHUHHU", C: "EHGGGHE", D: "UHHHHHU", E: "VGGUGGV", F: "VGGUGGG", G: "EHGNHHF" },
  ...{ H: "HHHVHHH", I: "E44444E", J: "72222IC", K: "HIKOKIH", L: "GGGGGGV", M: "HRLLHHH", N: "HPLJHHH" },
  ...{ O: "EHHHHHE", P: "UHHUGGG", Q: "EHHHLID", R: "UHHUKIH", S: "FGGE11U", T: "V444444", U: "HHHHHHE" },
  ...{ V: "HHHHHA4", W: "HHHLLRH", X: "HHA4AHH", Y: "HHA4444", Z: "V1248GV" },
  ...{ 0: "EHJLPHE", 1: "4C4444E", 2: "EH1248V", 3: "V2421HE", 4: "26AIV22", 5: "VGU11HE", 6: "68GUHHE" },
  ...{ 7: "V124888", 8: "EHHEHHE", 9: "EHHF12C" },
  ...{ ".": "00000CC", ",": "0000C48", ":": "0CC0CC0", "-": "000V000", _: "000000V", "/": "0124800" },
  ...{ "(": "2488842", ")": "8422248", "%": "OP248JJ", "+": "044V440", "=": "00V0V00", "'": "4480000" },
};

/** Pixels that a text takes at `scale` pixels per dot. */
export function textSize(text: string, scale = 2): { width: number; height: number } {
  return { width: text.length * (WIDE + 1) * scale, height: HIGH * scale };
}

/** Writes `text`, as capitals, with its top-left corner at `x0`, `y0`; what lies outside of the picture is cut off. */
export function write(out: Picture, text: string, x0: number, y0: number, color: Rgb, scale = 2): void {
  const dot: Picture = { width: scale, height: scale, data: new Uint8Array(3 * scale * scale) };
  for (let i = 0; i < dot.data.length; i++) dot.data[i] = color[i % 3];
  [...text.toUpperCase()].forEach((letter, k) => {
    [...(GLYPHS[letter] ?? "")].forEach((row, y) => {
      for (let x = 0; x < WIDE; x++) {
        const [left, top] = [x0 + (k * (WIDE + 1) + x) * scale, y0 + y * scale];
        const inside = left >= 0 && top >= 0 && left + scale <= out.width && top + scale <= out.height;
        if (inside && (parseInt(row, 32) >> (WIDE - 1 - x)) & 1) paste(out, dot, left, top);
      }
    });
  });
}
