// conv_weight_grad_patch.wgsl: gradient of a convolution's weights, for adapters where loads are dear.
//
//   dw[split,co,ci,k] = sum over the pixels o of one split of  dy[n,co,o] * x[n,ci, o * S - P + k * DIL]
//
// x, dy     [N, groups*cin, id, ih, iw], [N, groups*cout, od, oh, row] f32; rows of dy are filled up with zeros to whole
//           vectors of four, so that a lane loads four pixels of its channel at once
// dw        [splits, groups*cout, cin, K] f32, summed over splits by conv_reduce.wgsl
// method    lanes hold SG output channels; a thread keeps the sums of TC channel vectors x CB input channels x the taps of
//           one depth. It goes over patches of PY x PX pixels: dy is loaded with lanes along co, four pixels at a time, the pixels of x below the
//           patch once for all taps, SG at a time, and each is spread to the taps that use it
// grid      [tiles of (co, ci, kd), folded over x and y] x [splits]; a split is a range of all patches
// numerics  f32; every split adds its pixels in one order, so the bits repeat
// source    own work
// used by src/kernels/convPatch.ts on software adapters
enable subgroups;

const SG: u32 = 8;         // lanes of a subgroup
const TC: u32 = 1;         // vectors of output channels per thread
const CB: u32 = 4;         // input channels per thread
const PX: u32 = 8;         // pixels of a patch along a row, a multiple of 4
const PY: u32 = 2;         // rows of a patch
const KH: u32 = 3;
const KW: u32 = 3;
const SH: u32 = 1;         // stride
const SW: u32 = 1;
const DH: u32 = 1;         // dilation, the rows' in steps of LH
const DW: u32 = 1;
const LH: u32 = 1;         // rows from one of a patch to the next, and of the input below it: with the dilation, taps meet

struct Geometry {
  groups: u32, cin: u32, cout: u32,   // channels per group
  id: u32, ih: u32, iw: u32,
  od: u32, oh: u32, ow: u32,
  pad_d: i32, pad_h: i32, pad_w: i32, // zeros before the first voxel
  kd: u32, sd: u32, dd: u32,          // kernel, stride and dilation in depth
}

const TAPS: u32 = KH * KW;                            // of one depth
const ROWS: u32 = (PY - 1) * SH + (KH - 1) * DH + 1;  // of the input below a patch
const COLUMNS: u32 = (PX - 1) * SW + (KW - 1) * DW + 1;
const VECTORS: u32 = (ROWS * COLUMNS + SG - 1) / SG;
const_assert SG == 4 || SG == 8;
const_assert PX % 4 == 0;
const_assert LH == 1 || SH == 1;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;
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

// The place after i of `count`, the first again after the last.
fn next(i: u32, count: u32) -> u32 {
  return select(i + 1, 0u, i + 1 == count);
}

@compute @workgroup_size(SG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(subgroup_invocation_id) lane: u32) {
  let blocks = (s.cout + SG - 1) / SG;
  let co_tiles = (blocks + TC - 1) / TC;
  let ci_tiles = (s.cin + CB - 1) / CB;
  let tile = id.y * groups.x + id.x;
  let kd = tile % s.kd;
  let first = tile / s.kd % ci_tiles * CB;
  let block = tile / (s.kd * ci_tiles) % co_tiles * TC;
  let group = tile / (s.kd * ci_tiles * co_tiles);
  let g = min(group, s.groups - 1);   // threads past the end repeat the last group and store nothing

  let plane = s.ih * s.iw;
  let row = (s.ow + 3) / 4;   // vectors
  let across = (s.ow + PX - 1) / PX;
  let down = (s.oh + LH * PY - 1) / (LH * PY) * LH;   // patches interleave, LH of them
  let patches = arrayLength(&x) / (s.groups * s.cin * s.id * plane) * (s.od * down * across);
  let chunk = (patches + groups.z - 1) / groups.z;
  let end = min((id.z + 1) * chunk, patches);

  let begin = id.z * chunk;
  var column = begin % across;
  var under = begin / across % down;
  var od = begin / (across * down) % s.od;
  var n = begin / (across * down * s.od);
  var sums: array<f32, TC * CB * TAPS>;
  for (var at = begin; at < end; at++) {
    let left = column * PX;
    let top = under / LH * LH * PY + under % LH;
    let d = od * s.sd + kd * s.dd - u32(s.pad_d);   // negative positions wrap to huge ones

    var grads: array<vec4f, TC * PY * PX / 4>;
    for (var t = 0u; t < TC; t++) {  // @unroll
      let co = min((block + t) * SG + lane, s.cout - 1);
      let channel = (((n * s.groups + g) * s.cout + co) * s.od + od) * s.oh * row;
      for (var oy = 0u; oy < PY; oy++) {  // @unroll
        for (var v = 0u; v < PX / 4; v++) {  // @unroll
          let inside = top + oy * LH < s.oh && left / 4 + v < row;
          let at = select(0u, channel + (top + oy * LH) * row + left / 4 + v, inside);
          grads[(t * PY + oy) * (PX / 4) + v] = select(vec4f(0.0), dy[at], inside);
        }
      }
    }

    // The pixels below the patch, row after row: where this lane finds its one of each vector.
    var start: array<u32, VECTORS>;
    var ok: array<bool, VECTORS>;
    for (var v = 0u; v < VECTORS; v++) {  // @unroll
      let h = top * SH + (v * SG + lane) / COLUMNS * LH - u32(s.pad_h);
      let c = left * SW + (v * SG + lane) % COLUMNS - u32(s.pad_w);
      ok[v] = h < s.ih && c < s.iw && d < s.id;
      start[v] = select(0u, d * plane + h * s.iw + c, ok[v]);
    }
    for (var b = 0u; b < CB; b++) {  // @unroll
      let image = ((n * s.groups + g) * s.cin + min(first + b, s.cin - 1)) * (s.id * plane);
      var values: array<f32, VECTORS>;
      for (var v = 0u; v < VECTORS; v++) {  // @unroll
        values[v] = select(0.0, x[image + start[v]], ok[v]);
      }
      var below: array<f32, ROWS * COLUMNS>;
      for (var i = 0u; i < ROWS * COLUMNS; i++) {  // @unroll
        below[i] = spread(values[i / SG], i % SG);
      }
      for (var t = 0u; t < TC; t++) {  // @unroll
        for (var kh = 0u; kh < KH; kh++) {  // @unroll
          for (var kw = 0u; kw < KW; kw++) {  // @unroll
            for (var oy = 0u; oy < PY; oy++) {  // @unroll
              for (var ox = 0u; ox < PX; ox++) {  // @unroll
                let i = (t * CB + b) * TAPS + kh * KW + kw;
                let pixel = below[(oy * SH + kh * DH) * COLUMNS + ox * SW + kw * DW];
                let grad = grads[((t * PY + oy) * PX + ox) / 4][ox % 4];
                sums[i] = fma(grad, pixel, sums[i]);
              }
            }
          }
        }
      }
    }
    // The next patch is counted, not divided: a division takes a lane at a time.
    column = next(column, across);
    under = select(under, next(under, down), column == 0);
    od = select(od, next(od, s.od), column + under == 0);
    n += u32(column + under + od == 0);
  }

  // Little code: a loop that stays one, its bound being no constant, stores the first taps and moves the others up.
  let filters = select(0u, TC * CB, group < s.groups);
  for (var i = 0u; i < filters; i++) {
    let co = (block + i / CB) * SG + lane;
    let ci = first + i % CB;
    if (co < s.cout && ci < s.cin) {
      let out = ((((id.z * s.groups + g) * s.cout + co) * s.cin + ci) * s.kd + kd) * TAPS;
      for (var k = 0u; k < TAPS; k++) {  // @unroll
        dw[out + k] = sums[k];
      }
    }
    for (var k = 0u; k < (TC * CB - 1) * TAPS; k++) {  // @unroll
      sums[k] = sums[k + TAPS];
    }
  }
}
