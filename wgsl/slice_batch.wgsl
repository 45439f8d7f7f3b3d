// slice_batch.wgsl: a batch out of slices of bytes: region of interest, augmentation, grey level / 255, class of the label.
//
//   p             = (AX X + BX Y + CX, AY X + BY Y + CY), a place in the region's grid of SIZE x SIZE pixels
//   grey          = the slice under a triangle about p, a pixel of the grid wide to each side but at least one of the
//                   slice; also beyond the region, as far as the slice goes, and `fill` outside of it
//   images[n,Y,X] = grey * brightness, then salt and pepper, then noise, each kept in [0, 255]; / 255
//   labels[n,Y,X] = class of the label that covers most of the grid's pixel nearest to p, the higher one on a tie; where
//                   the region is enlarged, of the one at that pixel's centre; of label 0 outside
//
// imageBytes    [S, WORDS] u32, each slice [FROM, FROM] bytes, four in a word, the first in the lowest bits
// labelBytes    likewise; with LABELS false neither this nor `labels` is touched
// classes       [256] i32: the class of each label
// samples       [N, 5] of four u32 or f32 bits: slice, seed, streams of salt and noise | first draws of salt and noise,
//               thresholds of pepper and of both | AX BX CX brightness | AY BY CY fill | region's left and top in pixels
//               of the slice, these per pixel of the grid, sigma of the noise
// images        [N, 1, SIZE, SIZE] f32
// labels        [N, SIZE, SIZE] i32
// grid          x: one thread per pixel of a sample, y: sample
// numerics      one resampling in f32, no rounding to bytes: without region and augmentation, float32(byte / 255) exactly;
//               salt and pepper is decided in integers, noise is that of the host's Rng up to log and cos
// source        own work; the triangle is Pillow's BILINEAR; random numbers as in random.wgsl
// used by src/kits/batch.ts
const SIZE: u32 = 32;         // rows and columns of the batch
const FROM: u32 = 32;         // rows and columns of a slice
const LABELS: bool = true;    // false: images only
const WG: u32 = 64;           // threads per workgroup

const WORDS: u32 = (FROM * FROM + 3u) / 4u;
const NEAR = 1e-3;   // of a pixel of the slice: what rounding may make of equal areas and of borders that meet

@group(0) @binding(0) var<storage, read> imageBytes: array<u32>;
@group(0) @binding(1) var<storage, read> labelBytes: array<u32>;
@group(0) @binding(2) var<storage, read> classes: array<i32>;
@group(0) @binding(3) var<storage, read> samples: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> images: array<f32>;
@group(0) @binding(5) var<storage, read_write> labels: array<i32>;

fn outside(at: vec2i) -> bool {
  return any(at < vec2i(0)) || any(at >= vec2i(i32(FROM)));
}

fn grey(slice: u32, at: vec2i, fill: f32) -> f32 {
  if (outside(at)) { return fill; }
  let i = u32(at.y) * FROM + u32(at.x);
  return f32(extractBits(imageBytes[slice * WORDS + i / 4u], 8u * (i % 4u), 8u));
}

fn label(slice: u32, at: vec2i) -> u32 {
  if (outside(at)) { return 0u; }
  let i = u32(at.y) * FROM + u32(at.x);
  return extractBits(labelBytes[slice * WORDS + i / 4u], 8u * (i % 4u), 8u);
}

// The slice under a triangle about `centre`, in pixels of the slice; its weights are divided by their sum where it is
// wider than a pixel, and sum to 1 by themselves where it is not.
fn filtered(slice: u32, centre: vec2f, scale: f32, fill: f32) -> f32 {
  let reach = max(1.0, scale);
  let narrow = select(1.0, 1.0 / reach, scale > 1.0);
  let first = vec2i(floor(centre - 0.5 - reach)) + 1;
  let last = vec2i(ceil(centre - 0.5 + reach)) - 1;
  var sum = 0.0;
  var weights = 0.0;
  for (var y = first.y; y <= last.y; y++) {
    let down = max(0.0, 1.0 - abs(f32(y) + 0.5 - centre.y) * narrow);
    for (var x = first.x; x <= last.x; x++) {
      let weight = down * max(0.0, 1.0 - abs(f32(x) + 0.5 - centre.x) * narrow);
      sum += weight * grey(slice, vec2i(x, y), fill);
      weights += weight;
    }
  }
  return select(sum, sum / weights, scale > 1.0);
}

// The label that covers most of [low, low + scale], in pixels of the slice. Two passes: what is there, mostly one label;
// then the area of each label between the lowest and the highest.
fn majority(slice: u32, low: vec2f, scale: f32) -> u32 {
  let high = low + scale;
  let first = vec2i(floor(low + NEAR));
  let last = vec2i(ceil(high - NEAR)) - 1;
  var lowest = 255u;
  var highest = 0u;
  for (var y = first.y; y <= last.y; y++) {
    for (var x = first.x; x <= last.x; x++) {
      let found = label(slice, vec2i(x, y));
      lowest = min(lowest, found);
      highest = max(highest, found);
    }
  }
  var best = highest;
  var most = -1.0;
  for (var l = i32(highest); l >= i32(lowest) && lowest < highest; l--) {
    var area = 0.0;
    for (var y = first.y; y <= last.y; y++) {
      for (var x = first.x; x <= last.x; x++) {
        let covered = min(high, vec2f(vec2i(x, y) + 1)) - max(low, vec2f(vec2i(x, y)));
        area += select(0.0, covered.x * covered.y, label(slice, vec2i(x, y)) == u32(l));
      }
    }
    if (l == i32(highest) || area > most + NEAR) {
      best = u32(l);
      most = area;
    }
  }
  return best;
}

// Upper 24 bits of the first word of pcg4d(seed, stream, counter, 0)
fn draw(seed: u32, stream: u32, counter: u32) -> u32 {
  var v = vec4u(seed, stream, counter, 0u) * 1664525u + 1013904223u;
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  v ^= v >> vec4u(16u);
  return (v.x + v.y * v.w) >> 8u;
}

// v / 255 rounded once, which a division by a constant is not: v / 256 + v / 65280. The first part takes 8 off the
// exponent, since compilers make one product of two.
fn unit(v: f32) -> f32 {
  let exact = bitcast<f32>(bitcast<u32>(max(v, 0x1p-30)) - 0x04000000u);
  return select(exact + v * (1.0 / 65280.0), 0.0, v < 0x1p-30);
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  let n = group.y;
  let pixel = id.x;
  if (pixel >= SIZE * SIZE) { return; }
  let i = n * SIZE * SIZE + pixel;
  let which = samples[5u * n];        // slice, seed, stream of salt, stream of noise
  let draws = samples[5u * n + 1u];   // first of salt, first of noise, threshold of pepper, of both
  let across = bitcast<vec4f>(samples[5u * n + 2u]);
  let down = bitcast<vec4f>(samples[5u * n + 3u]);
  let region = bitcast<vec4f>(samples[5u * n + 4u]);
  let scale = region.z;
  let at = vec3f(f32(pixel % SIZE), f32(pixel / SIZE), 1.0);
  let p = vec2f(dot(across.xyz, at), dot(down.xyz, at));

  // A turned region shows at its corners what lies beside it.
  var v = filtered(which.x, region.xy + (p + 0.5) * scale, scale, down.w);
  v = clamp(v * across.w, 0.0, 255.0);
  if (draws.w > 0u) {
    let u = draw(which.y, which.z, draws.x + pixel);
    v = select(select(v, 255.0, u < draws.w), 0.0, u < draws.z);
  }
  if (region.w > 0.0) {   // Box and Muller; the cosine of an angle in [-pi, pi), where its error is bounded
    let u = f32(draw(which.y, which.w, draws.y + 2u * pixel) + 1u) * 0x1p-24;
    let turn = f32(draw(which.y, which.w, draws.y + 2u * pixel + 1u)) * 0x1p-24 - 0.5;
    let normal = -sqrt(max(0.0, -2.0 * log(u))) * cos(6.283185307179586 * turn);
    v = clamp(v + region.w * normal, 0.0, 255.0);
  }
  images[i] = unit(v);

  if (!LABELS) { return; }
  let nearest = floor(p + 0.5);
  let low = region.xy + nearest * scale;
  var found = 0u;
  if (scale < 1.0 - 1e-6) { found = label(which.x, vec2i(floor(low + 0.5 * scale))); }
  else { found = majority(which.x, low, scale); }
  labels[i] = classes[found];
}
