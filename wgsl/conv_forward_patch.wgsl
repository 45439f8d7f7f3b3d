// conv_forward_patch.wgsl: convolution, any stride, dilation and groups, for adapters where loads are dear.
//
//   y[n,co,o] = bias[co] + sum over ci, k of  w[co,ci,k] * x[n,ci,o * S - P + k * DIL]   per axis
//
// x, y      [N, groups*cin, id, ih, iw], [N, groups*cout, od, oh, ow] f32; taps outside x add nothing
// w         packed by conv_pack_taps.wgsl with PACK = SG, so that a lane loads four of its weights at once
// bias      [groups*cout], read when biased = 1
// method    lanes hold SG output channels; a thread keeps the sums of TC channel vectors x a patch of PY x PX pixels. Per
//           input channel the pixels below the patch are loaded once, SG at a time, and spread to the taps that use them.
//           A patch may take every LW-th pixel of every LH-th row: with the dilation, its taps meet at fewer pixels
// grid      [patches, folded over x and y] x [groups * ceil(blocks / TC)]
// numerics  f32; the products of an output are added by one thread in one order, so the bits repeat
// source    own work
// used by src/kernels/convPatch.ts on software adapters
enable subgroups;

const SG: u32 = 8;         // lanes of a subgroup
const TC: u32 = 1;         // channel vectors per thread
const PX: u32 = 8;         // pixels per thread along a row
const PY: u32 = 8;         // rows per thread
const KH: u32 = 3;
const KW: u32 = 3;
const SH: u32 = 1;         // stride
const SW: u32 = 1;
const DH: u32 = 1;         // dilation, in steps of LH and LW
const DW: u32 = 1;
const LH: u32 = 1;         // rows from one of a patch to the next, and of the input below it
const LW: u32 = 1;         // the same along a row

struct Geometry {
  groups: u32, cin: u32, cout: u32,   // channels per group
  id: u32, ih: u32, iw: u32,
  od: u32, oh: u32, ow: u32,
  pad_d: i32, pad_h: i32, pad_w: i32, // zeros before the first voxel; negative crops
  kd: u32, sd: u32, dd: u32,          // kernel, stride and dilation in depth
  biased: u32,
}

const TAPS: u32 = KH * KW;                            // of one depth
const FOURS: u32 = (TC * TAPS + 3) / 4;               // of a lane's weights
const ROWS: u32 = (PY - 1) * SH + (KH - 1) * DH + 1;  // of the input below a patch
const COLUMNS: u32 = (PX - 1) * SW + (KW - 1) * DW + 1;
const VECTORS: u32 = (ROWS * COLUMNS + SG - 1) / SG;
const_assert SG == 4 || SG == 8;
const_assert (LH == 1 || SH == 1) && (LW == 1 || SW == 1);

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
var<immediate> s: Geometry;

// The value of one lane, in all lanes. The loops around it are unrolled, so one case remains.
fn spread(value: f32, lane: u32) -> f32 {
  switch lane {
    case 0: { return subgroupBroadcast(value, 0); }
    case 1: { return subgroupBroadcast(value, 1); }
    case 2: { return subgroupBroadcast(value, 2); }
    case 3: { return subgroupBroadcast(value, 3); }
    case 4: { return subgroupBroadcast(value, 4); }
    case 5: { return subgroupBroadcast(value, 5); }
    case 6: { return subgroupBroadcast(value, 6); }
    default: { return subgroupBroadcast(value, 7); }
  }
}

// The first pixel of patch i along an axis: `step` patches interleave.
fn first(i: u32, step: u32, pixels: u32) -> u32 {
  return i / step * step * pixels + i % step;
}

@compute @workgroup_size(SG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(subgroup_invocation_id) lane: u32) {
  let across = (s.ow + LW * PX - 1) / (LW * PX) * LW;   // patches along a row, LW beside each other from one pixel to the next
  let down = (s.oh + LH * PY - 1) / (LH * PY) * LH;
  let blocks = (s.cout + SG - 1) / SG;
  let patches = arrayLength(&y) / (s.groups * s.cout * s.oh * s.ow) * (down * across);
  let index = id.y * groups.x + id.x;
  let at = min(index, patches - 1);
  let left = first(at % across, LW, PX);
  let top = first(at / across % down, LH, PY);
  let od = at / (across * down) % s.od;
  let n = at / (across * down * s.od);
  let columns = (blocks + TC - 1) / TC;
  let tile = id.z % columns;
  let block = tile * TC;
  let g = id.z / columns;

  // The pixels below the patch, row after row: where this lane finds its one of each vector.
  var start: array<u32, VECTORS>;
  var ok: array<bool, VECTORS>;
  for (var v = 0u; v < VECTORS; v++) {  // @unroll
    let h = top * SH + (v * SG + lane) / COLUMNS * LH - u32(s.pad_h);   // negative positions wrap to huge ones
    let c = left * SW + (v * SG + lane) % COLUMNS * LW - u32(s.pad_w);
    ok[v] = h < s.ih && c < s.iw;
    start[v] = select(0u, h * s.iw + c, ok[v]);
  }

  var sums: array<f32, TC * PY * PX>;
  for (var kd = 0u; kd < s.kd; kd++) {
    let d = od * s.sd + kd * s.dd - u32(s.pad_d);
    for (var ci = 0u; ci < s.cin; ci++) {
      let packed = ((((g * columns + tile) * s.kd + kd) * s.cin + ci) * SG + lane) * FOURS;
      var weights: array<vec4f, FOURS>;
      for (var v = 0u; v < FOURS; v++) {  // @unroll
        weights[v] = w[packed + v];
      }
      let plane = (((n * s.groups + g) * s.cin + ci) * s.id + min(d, s.id - 1)) * (s.ih * s.iw);
      var values: array<f32, VECTORS>;
      for (var v = 0u; v < VECTORS; v++) {  // @unroll
        values[v] = select(0.0, x[plane + start[v]], ok[v] && d < s.id);
      }
      var pixels: array<f32, ROWS * COLUMNS>;
      for (var i = 0u; i < ROWS * COLUMNS; i++) {  // @unroll
        pixels[i] = spread(values[i / SG], i % SG);
      }
      for (var t = 0u; t < TC; t++) {  // @unroll
        for (var oy = 0u; oy < PY; oy++) {  // @unroll
          for (var kh = 0u; kh < KH; kh++) {  // @unroll
            for (var kw = 0u; kw < KW; kw++) {  // @unroll
              for (var ox = 0u; ox < PX; ox++) {  // @unroll
                let i = (t * PY + oy) * PX + ox;
                let pixel = pixels[(oy * SH + kh * DH) * COLUMNS + ox * SW + kw * DW];
                let k = (t * KH + kh) * KW + kw;
                sums[i] = fma(weights[k / 4][k % 4], pixel, sums[i]);
              }
            }
          }
        }
      }
    }
  }

  // Little code: a loop that stays one, its bound being no constant, stores the first row and moves the others up.
  let rows = select(0u, TC * PY, index < patches);
  for (var row = 0u; row < rows; row++) {
    let co = (block + row / PY) * SG + lane;
    let oy = top + row % PY * LH;
    if (co < s.cout && oy < s.oh) {
      let b = select(0.0, bias[s.biased * (g * s.cout + co)], s.biased == 1);
      let out = ((((n * s.groups + g) * s.cout + co) * s.od + od) * s.oh + oy) * s.ow;
      for (var ox = 0u; ox < PX; ox++) {  // @unroll
        if (left + ox * LW < s.ow) {
          y[out + left + ox * LW] = sums[ox] + b;
        }
      }
    }
    for (var i = 0u; i < (TC * PY - 1) * PX; i++) {  // @unroll
      sums[i] = sums[i + PX];
    }
  }
}
