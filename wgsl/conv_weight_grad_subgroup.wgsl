// conv_weight_grad_subgroup.wgsl: gradient of a convolution's weights, for adapters where loads are dear.
//
//   dw[split,co,ci,k] = sum over the pixels o of one split of  dy[n,co,o] * x[n,ci, o * S - P + k * DIL]
//
// x, dy     [N, groups*cin, id, ih, iw], [N, groups*cout, od, oh, ow] f32
//           PACKED = 1: dy by conv_pack_channels.wgsl with PACK = SG, [N, groups, blocks, od, oh, ow, SG]. Lanes along channels
//           then read one place, not SG planes, which at power-of-two sizes all compete for the same cache lines.
// dw        [splits, groups*cout, cin, K] f32, summed over splits by conv_reduce.wgsl
// method    lanes hold SG output channels; a thread keeps TC x QV*SG sums, one per column q = (ci, k) of the weights.
//           For each pixel it loads dy with lanes along co, x with lanes along q, and spreads x by subgroupBroadcast.
// grid      [tiles of (co, q), folded over x and y] x [splits]; a split is a range of the N*od*oh rows of dy
// numerics  f32; every split adds its pixels in one order, so the bits repeat
// source    own work; implicit matrix products as in cuDNN, Chetlur et al. 2014, arXiv:1410.0759
// used by src/kernels/convRun.ts on software adapters
enable subgroups;

const SG: u32 = 8;         // lanes of a subgroup
const TC: u32 = 4;         // vectors of output channels per thread
const QV: u32 = 2;         // vectors of columns per thread
const SD: u32 = 1;         // stride
const SH: u32 = 1;
const SW: u32 = 1;
const DD: u32 = 1;         // dilation
const DH: u32 = 1;
const DW: u32 = 1;
const PACKED: u32 = 0;

const STEP: u32 = select(1u, SG, PACKED == 1);   // from one pixel of dy to the next

struct Geometry {
  groups: u32, cin: u32, cout: u32,   // channels per group
  id: u32, ih: u32, iw: u32,
  od: u32, oh: u32, ow: u32,
  kd: u32, kh: u32, kw: u32,
  pad_d: i32, pad_h: i32, pad_w: i32, // zeros before the first voxel
}

const_assert SG == 4 || SG == 8;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
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

@compute @workgroup_size(SG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(subgroup_invocation_id) lane: u32) {
  let blocks = (s.cout + SG - 1) / SG;
  let co_tiles = (blocks + TC - 1) / TC;
  let taps = s.kd * s.kh * s.kw;
  let columns = s.cin * taps;
  let q_tiles = (columns + QV * SG - 1) / (QV * SG);
  let plane = s.id * s.ih * s.iw;
  let pixels = s.od * s.oh * s.ow;
  let tile = id.y * groups.x + id.x;
  let q0 = tile % q_tiles * (QV * SG);
  let block = tile / q_tiles % co_tiles * TC;
  let group = tile / (q_tiles * co_tiles);
  let g = min(group, s.groups - 1);   // threads past the end repeat the last group and store nothing

  // The column of each lane: where its channel begins, and its tap relative to the output position.
  var channel: array<u32, QV>;
  var tap: array<vec3i, QV>;
  for (var v = 0u; v < QV; v++) {  // @unroll
    let q = min(q0 + v * SG + lane, columns - 1);
    let k = q % taps;
    channel[v] = (g * s.cin + q / taps) * plane;
    tap[v] = vec3i(vec3u(k / (s.kh * s.kw) * DD, k / s.kw % s.kh * DH, k % s.kw * DW)) - vec3i(s.pad_d, s.pad_h, s.pad_w);
  }

  let rows = arrayLength(&x) / (s.groups * s.cin * plane) * (s.od * s.oh);
  let chunk = (rows + groups.z - 1) / groups.z;
  let end = min((id.z + 1) * chunk, rows);

  var sums: array<f32, TC * QV * SG>;
  for (var row = id.z * chunk; row < end; row++) {
    let n = row / (s.od * s.oh);
    let od = row / s.oh % s.od;
    let oh = row % s.oh;
    var line: array<u32, QV>;      // x at the column's tap row, or a place inside x when that row is outside
    var inside: array<bool, QV>;
    for (var v = 0u; v < QV; v++) {  // @unroll
      let i = vec2u(vec2i(vec2u(od * SD, oh * SH)) + tap[v].xy);   // negative positions wrap to huge ones
      inside[v] = all(i < vec2u(s.id, s.ih));
      line[v] = n * (s.groups * s.cin * plane) + channel[v] + select(0u, (i.x * s.ih + i.y) * s.iw, inside[v]);
    }
    var at: array<u32, TC>;        // dy at the row's first pixel
    for (var t = 0u; t < TC; t++) {  // @unroll
      let pixel = od * (s.oh * s.ow) + oh * s.ow;
      let channels = (n * s.groups + g) * s.cout + min((block + t) * SG + lane, s.cout - 1);
      let packed_plane = (n * s.groups + g) * blocks + min(block + t, blocks - 1);
      at[t] = select(channels * pixels + pixel, (packed_plane * pixels + pixel) * SG + lane, PACKED == 1);
    }
    for (var ow = 0u; ow < s.ow; ow++) {
      var grads: array<f32, TC>;
      for (var t = 0u; t < TC; t++) {  // @unroll
        grads[t] = dy[at[t] + ow * STEP];
      }
      for (var v = 0u; v < QV; v++) {  // @unroll
        let w = u32(i32(ow * SW) + tap[v].z);
        let ok = inside[v] && w < s.iw;
        let value = select(0.0, x[line[v] + select(0u, w, ok)], ok);
        for (var j = 0u; j < SG; j++) {  // @unroll
          let pixel = spread(value, j);
          for (var t = 0u; t < TC; t++) {  // @unroll
            let i = (t * QV + v) * SG + j;
            sums[i] = fma(grads[t], pixel, sums[i]);
          }
        }
      }
    }
  }

  // Little code: a loop that stays one, its bound being no constant, stores the first column and moves the others up.
  let last = select(q0, min(q0 + QV * SG, columns), group < s.groups);
  for (var q = q0; q < last; q++) {
    for (var t = 0u; t < TC; t++) {  // @unroll
      let co = (block + t) * SG + lane;
      if (co < s.cout) {
        dw[((id.z * s.groups + g) * s.cout + co) * columns + q] = sums[t * QV * SG];
      }
    }
    for (var i = 0u; i < TC * QV * SG - 1; i++) {  // @unroll
      sums[i] = sums[i + 1];
    }
  }
}
