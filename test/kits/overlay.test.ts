import { decode } from "fast-png";
import { describe, expect, it } from "vitest";
import { OptionError, ShapeError } from "../../src/errors.ts";
import {
  confidenceColors,
  contactSheet,
  encodePng,
  labelColors,
  overlayPanels,
  overlaySlice,
  pickSlices,
  sliceOf,
} from "../../src/kits/overlay.ts";
import type { OverlayCase, Picture } from "../../src/kits/overlay.ts";
import { encodeGreyPng, encodeLayerPng, paint } from "../../src/kits/picture.ts";

const H = 30;
const W = 40; // the panel's own aspect, so with crop "none" a voxel is an exact square of 8 pixels at panel 320
const options = { panel: 320, crop: "none", opacity: 0.5 } as const;

/** A slice that is 140 HU everywhere (mid grey), with a square of `label` at rows and columns [from, to). */
function square(label: number, from: number, to: number): Uint8Array {
  const out = new Uint8Array(H * W);
  for (let y = from; y < to; y++) out.fill(label, y * W + from, y * W + to);
  return out;
}
const grey = new Int16Array(H * W).fill(140);

function pixel({ data, width }: Picture, x: number, y: number): number[] {
  return [...data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3)];
}
/** Centre pixel of voxel (y, x) in panel 0, 1 or 2. */
const at = (p: Picture, panel: number, y: number, x: number) => pixel(p, panel * 322 + 8 * x + 4, 8 * y + 4);
const mixed = (label: number) => labelColors[label].map((v) => Math.round(0.5 * 128 + 0.5 * v));

describe("overlaySlice", () => {
  const picture = overlaySlice(
    { image: grey, reference: square(1, 5, 15), prediction: square(2, 10, 20), size: [H, W] },
    options,
  );

  it("is image | reference | prediction with thin separators", () => {
    expect([picture.width, picture.height]).toEqual([3 * 320 + 4, 240]);
    expect(pixel(picture, 320, 100)).toEqual([120, 120, 120]);
    expect(pixel(picture, 321, 100)).toEqual([120, 120, 120]);
    expect(at(picture, 0, 10, 10)).toEqual([128, 128, 128]); // 140 HU is the middle of -130..410: 127.5 rounded
  });

  it("fills each panel with its own labels, in the colour of the label", () => {
    expect(at(picture, 1, 10, 10)).toEqual(mixed(1));
    expect(at(picture, 1, 17, 17)).toEqual([128, 128, 128]);
    expect(at(picture, 2, 17, 17)).toEqual(mixed(2));
    expect(at(picture, 2, 7, 7)).toEqual([128, 128, 128]); // missed: no fill
  });

  it("outlines the reference: opaque in its panel, light in the prediction's", () => {
    expect(pixel(picture, 322 + 5 * 8, 80)).toEqual([...labelColors[1]]);
    expect(pixel(picture, 2 * 322 + 5 * 8, 80)).toEqual(labelColors[1].map((v) => Math.round(v + 0.6 * (255 - v))));
  });

  it("colours: kidney red, tumour blue, cyst green", () => {
    const strongest = [1, 2, 3].map((label) => labelColors[label].indexOf(Math.max(...labelColors[label])));
    expect(strongest).toEqual([0, 2, 1]);
  });

  it("windows the CT", () => {
    const image = Int16Array.from(grey, (_, i) => (i % W < 20 ? -1000 : 3000));
    const one = overlaySlice({ image, reference: square(0, 0, 0), prediction: square(0, 0, 0), size: [H, W] }, options);
    expect([at(one, 0, 5, 5), at(one, 0, 5, 30)]).toEqual([
      [0, 0, 0],
      [255, 255, 255],
    ]);
  });

  it("enlarges the surroundings of the labels by default, prediction included", () => {
    const near = overlaySlice({ image: grey, reference: square(1, 5, 9), prediction: square(1, 6, 10), size: [H, W] });
    const red = (p: Picture, panel: number) => {
      let n = 0;
      for (let y = 0; y < 240; y++) for (let x = 0; x < 320; x++) if (pixel(p, panel * 322 + x, y)[0] > 150) n++;
      return n;
    };
    const far = overlaySlice(
      { image: grey, reference: square(1, 5, 9), prediction: square(1, 6, 10), size: [H, W] },
      options,
    );
    expect(red(near, 1)).toBeGreaterThan(4 * red(far, 1));
    expect(red(near, 2)).toBeGreaterThan(4 * red(far, 2));
  });

  it("keeps a prediction far from the reference in sight", () => {
    const reference = square(1, 1, 3);
    const picture = overlaySlice(
      { image: grey, reference, prediction: square(2, 26, 29), size: [H, W] },
      { panel: 320 },
    );
    let blue = 0;
    for (let i = 0; i < picture.data.length; i += 3) if (picture.data[i + 2] > picture.data[i] + 60) blue++;
    expect(blue).toBeGreaterThan(100);
  });

  it.each(["none", "body", "labels"] as const)(
    "survives slices without labels, body or square shape: crop %s",
    (crop) => {
      for (const size of [
        [512 >> 4, 796 >> 4],
        [50, 7],
        [1, 1],
      ] as const) {
        const empty = new Uint8Array(size[0] * size[1]);
        const picture = overlaySlice({ image: empty, reference: empty, prediction: empty, size }, { panel: 64, crop });
        expect([picture.width, picture.height]).toEqual([196, 48]);
      }
    },
  );

  it("refuses planes of another size, and odd options", () => {
    const slice = { image: grey, reference: square(1, 0, 1), prediction: new Uint8Array(4), size: [H, W] as const };
    expect(() => overlaySlice(slice)).toThrow(ShapeError);
    expect(() => overlaySlice(slice)).toThrow("must be [30,40], found 1200,1200,4 elements");
    expect(() => overlaySlice(slice, { panel: 4 })).toThrow("panel must be a whole number of pixels from 16, found 4");
  });
});

describe("the confidence panel", () => {
  const confidence = new Uint8Array(H * W); // a region of rows and columns 4 to 20: 0, then 1/255, then 1
  for (let y = 4; y < 20; y++) for (let x = 4; x < 20; x++) confidence[y * W + x] = x < 10 ? 1 : 255;
  const slice = {
    image: grey,
    reference: square(1, 5, 15),
    prediction: square(2, 10, 18),
    confidence,
    size: [H, W] as const,
  };
  const picture = overlaySlice(slice, options);
  const over = (color: readonly number[]) => color.map((v) => Math.round(0.15 * 128 + 0.85 * v));

  it("comes fourth and leaves the others as they are", () => {
    expect(picture.width).toBe(4 * 320 + 6);
    const three = overlaySlice({ ...slice, confidence: undefined }, options);
    for (const [panel, y, x] of [
      [0, 10, 10],
      [1, 10, 10],
      [2, 17, 17],
    ]) {
      expect(at(picture, panel, y, x)).toEqual(at(three, panel, y, x));
    }
  });

  it("is viridis from 0 to 1 over the CT inside the region, and the CT darkened outside", () => {
    expect(at(picture, 3, 6, 12)).toEqual(over(confidenceColors.at(-1)!));
    const low = confidenceColors[0].map((v, k) => Math.round(v + (9 / 255) * (confidenceColors[1][k] - v)));
    expect(at(picture, 3, 6, 6)).toEqual(over(low)); // 1/255 of nine steps between ten colours
    expect(at(picture, 3, 25, 25)).toEqual([64, 64, 64]);
    const light = confidenceColors.map(([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b);
    expect(light.every((v, i) => i === 0 || v > light[i - 1])).toBe(true);
  });

  it("outlines the prediction in white", () => {
    expect(pixel(picture, 3 * 322 + 8 * 10, 8 * 12)).toEqual([255, 255, 255]);
  });

  it("must have the size of the others", () => {
    expect(() => overlaySlice({ ...slice, confidence: new Uint8Array(7) }, options)).toThrow(
      "image, reference, prediction and confidence must be [30,40], found 1200,1200,1200,7 elements",
    );
  });

  it("the parts of a panel, laid on each other, are the panel; also as PNG files", () => {
    const { image, reference, prediction, confidence: layer } = overlayPanels(slice, options);
    [reference, prediction, layer!].forEach((part, k) => {
      const panel = paint(image, part);
      for (const [y, x] of [
        [6, 6],
        [12, 12],
        [25, 25],
      ]) {
        expect(pixel(panel, 8 * x + 4, 8 * y + 4)).toEqual(at(picture, k + 1, y, x));
      }
    });
    const ct = decode(encodeGreyPng(image));
    expect([ct.width, ct.height, ct.channels, ct.data[0]]).toEqual([320, 240, 1, 128]);
    const png = decode(encodeLayerPng(prediction));
    const place = 4 * (8 * 12 * 320 + 8 * 17);
    expect([png.channels, ...png.data.slice(place, place + 4)]).toEqual([4, ...labelColors[2], 128]); // opacity 0.5
    expect(png.data[3]).toBe(0); // nothing over the first pixel
  });
});

const shape = [4, H, W];
function volume(...slices: Uint8Array[]): { data: Uint8Array; shape: number[] } {
  const data = new Uint8Array(4 * H * W);
  slices.forEach((slice, z) => data.set(slice, z * H * W));
  return { data, shape };
}
const none = square(0, 0, 0);
const one: OverlayCase = {
  id: "case_1",
  image: { data: new Int16Array(4 * H * W), shape },
  reference: volume(none, square(1, 0, 4), square(1, 0, 9), square(1, 0, 2)),
  prediction: volume(none, square(1, 0, 1), square(1, 0, 8), none),
};

describe("pickSlices", () => {
  it("takes the largest reference area and the most mislabelled voxels elsewhere", () => {
    // Errors per slice: 0, 15, 17, 4; slice 2 is the largest already.
    expect(pickSlices(one.reference.data, one.prediction.data, shape)).toEqual({
      largest: 2,
      worst: 1,
      worstErrors: 15,
    });
  });
  it("falls back to the middle when nothing is labelled, and to the only slice", () => {
    expect(pickSlices(new Uint8Array(15), new Uint8Array(15), [5, 1, 3]).largest).toBe(2);
    expect(pickSlices([0], [1], [1, 1, 1])).toEqual({ largest: 0, worst: 0, worstErrors: 1 });
  });
});

describe("contactSheet", () => {
  it("has a line per case, says which slices it shows, and makes a PNG that reads back", async () => {
    async function* cases() {
      yield one;
      yield { ...one, id: "case_2" };
      yield { ...one, id: "case_3" };
    }
    const sheet = await contactSheet(cases(), { panel: 64, columns: 2 });
    expect(sheet.rows.map(({ id, largest, worst }) => [id, largest, worst])).toEqual([
      ["case_1", 2, 1],
      ["case_2", 2, 1],
      ["case_3", 2, 1],
    ]);
    const tile = 2 * (3 * 64 + 4) + 10;
    expect([sheet.width, sheet.height]).toEqual([2 * (tile + 10) + 10, 2 * (48 + 10) + 10]);
    const first = overlaySlice(sliceOf(one, 2), { panel: 64 });
    expect(pixel(sheet, 10 + 64 + 2 + 30, 10 + 20)).toEqual(pixel(first, 64 + 2 + 30, 20));

    const png = encodePng(sheet);
    expect([...png.subarray(1, 4)].map((c) => String.fromCharCode(c)).join("")).toBe("PNG");
    const back = decode(png);
    expect([back.width, back.height, back.channels]).toEqual([sheet.width, sheet.height, 3]);
    expect(Buffer.compare(back.data as Uint8Array, sheet.data)).toBe(0);
  });

  it("refuses no cases and mixed shapes", async () => {
    await expect(contactSheet([])).rejects.toThrow(OptionError);
    await expect(contactSheet([])).rejects.toThrow("contactSheet: needs at least one case, found none");
    const wrong = { ...one, prediction: { data: new Uint8Array(4), shape: [1, 2, 2] } };
    await expect(contactSheet([wrong])).rejects.toThrow(
      "case_1: prediction must have the image's shape, found [1,2,2] and [4,30,40]",
    );
  });
});
