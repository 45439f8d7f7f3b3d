// The scan and its label map in NiiVue.
import { NVImage, Niivue, SLICE_TYPE } from "@niivue/niivue";
import { colourOf } from "./classes.ts";

/** Grey levels in HU, by name: from black to white. */
export const windows: Readonly<Record<string, readonly [low: number, high: number]>> = {
  "abdomen 40 ± 200": [-160, 240],
  "model 140 ± 270": [-130, 410],
  "contrast 150 ± 250": [-100, 400],
  "bone 400 ± 900": [-500, 1300],
  "lung -600 ± 750": [-1350, 150],
};

const planes = { axial: SLICE_TYPE.AXIAL, coronal: SLICE_TYPE.CORONAL, sagittal: SLICE_TYPE.SAGITTAL };

/** One plane, or the axial one with the others beside it. */
export type Layout = keyof typeof planes | "all";

/** Where the planes lie: left, top, width and height as shares of the canvas. */
type Places = Readonly<Record<keyof typeof planes, [number, number, number, number]>>;

const wide: Places = { axial: [0, 0, 0.64, 1], coronal: [0.64, 0, 0.36, 0.5], sagittal: [0.64, 0.5, 0.36, 0.5] };
const tall: Places = { axial: [0, 0, 1, 0.68], coronal: [0, 0.68, 0.5, 0.32], sagittal: [0.5, 0.68, 0.5, 0.32] };

/** A NiiVue canvas that shows one scan, and one label map over it. */
export class Viewer {
  /** Told the axial slice in view, from 0, and how many there are. */
  onSlice: (slice: number, slices: number) => void = () => {};
  private readonly nv: Niivue;
  private readonly ready: Promise<unknown>;
  private readonly canvas: HTMLCanvasElement;
  private layout: Layout = "all";
  private opacity = 0.5;

  constructor(canvas: HTMLCanvasElement) {
    this.nv = new Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: [0.3, 0.79, 0.63, 0.5],
      crosshairWidthUnit: "mm",
      crosshairWidth: 0.7,
      crosshairGap: 14,
      dragAndDropEnabled: false,
      fontColor: [0.58, 0.64, 0.69, 1],
      isColorbar: false,
      isRadiologicalConvention: true,
      loadingText: "",
      logLevel: "error",
      tileMargin: 6,
    });
    this.nv.onLocationChange = () => this.tellSlice();
    this.canvas = canvas;
    this.ready = this.nv.attachToCanvas(canvas).then(() => this.setLayout(this.layout));
    let before = this.isWide();
    new ResizeObserver(() => {
      if (before !== (before = this.isWide())) this.setLayout(this.layout);
    }).observe(canvas);
  }

  /** Shows a scan (the bytes of a NIfTI file) in place of what was there. Throws what NiiVue throws for other files. */
  async showScan(bytes: ArrayBuffer, window: readonly [low: number, high: number]): Promise<void> {
    await this.ready;
    const scan = await this.image(bytes);
    this.clear();
    this.nv.addVolume(scan);
    this.setWindow(window);
    this.tellSlice();
  }

  /** Shows a label map (the bytes of a NIfTI file) over the scan and moves to `centre`, in mm. */
  async showLabels(bytes: ArrayBuffer, names: readonly string[], centre: readonly number[] | null): Promise<void> {
    const labels = await this.image(bytes);
    labels.setColormapLabel(colours(names));
    labels.opacity = this.opacity;
    this.hideLabels();
    this.nv.addVolume(labels);
    if (centre) this.nv.scene.crosshairPos = this.nv.mm2frac(new Float32Array(centre) as never);
    this.nv.updateGLVolume();
    this.tellSlice();
  }

  /** Takes the label map away. */
  hideLabels(): void {
    while (this.nv.volumes.length > 1) this.nv.removeVolumeByIndex(1);
  }

  setOpacity(opacity: number): void {
    this.opacity = opacity;
    if (this.nv.volumes.length > 1) this.nv.setOpacity(1, opacity);
  }

  setWindow([low, high]: readonly [number, number]): void {
    const scan = this.nv.volumes[0];
    if (!scan) return;
    scan.cal_min = low;
    scan.cal_max = high;
    this.nv.updateGLVolume();
  }

  setLayout(layout: Layout): void {
    this.layout = layout;
    this.nv.clearCustomLayout();
    if (layout !== "all") return void this.nv.setSliceType(planes[layout]);
    const places = Object.entries(this.isWide() ? wide : tall) as [keyof Places, Places["axial"]][];
    this.nv.setCustomLayout(places.map(([plane, position]) => ({ sliceType: planes[plane], position })));
  }

  /** Moves to an axial slice, from 0 at the feet. */
  setSlice(slice: number): void {
    const { scene } = this.nv;
    const voxel = this.nv.frac2vox(scene.crosshairPos);
    voxel[2] = slice;
    scene.crosshairPos = this.nv.vox2frac(voxel);
    this.nv.drawScene();
    this.tellSlice();
  }

  private isWide(): boolean {
    return this.canvas.clientWidth > 1.1 * this.canvas.clientHeight;
  }

  private clear(): void {
    while (this.nv.volumes.length > 0) this.nv.removeVolumeByIndex(this.nv.volumes.length - 1);
  }

  private tellSlice(): void {
    const slices = this.nv.volumes[0]?.dimsRAS?.[3];
    if (slices) this.onSlice(Math.round(this.nv.frac2vox(this.nv.scene.crosshairPos)[2]), slices);
  }

  /** NiiVue asks a file's name what it is; here it can only be NIfTI, gzipped or not. */
  private image(bytes: ArrayBuffer): Promise<NVImage> {
    const [first, second] = new Uint8Array(bytes);
    const name = first === 0x1f && second === 0x8b ? "volume.nii.gz" : "volume.nii";
    return NVImage.loadFromFile({ file: new File([bytes], name), name });
  }
}

/** NiiVue's table of the classes' colours, by label; background is clear. */
function colours(names: readonly string[]) {
  const channel = (c: number) => names.map((name) => (colourOf[name] ?? [0, 0, 0])[c]);
  return {
    ...{ R: channel(0), G: channel(1), B: channel(2), A: names.map((_, label) => (label === 0 ? 0 : 255)) },
    ...{ I: names.map((_, label) => label), labels: [...names] },
  };
}
