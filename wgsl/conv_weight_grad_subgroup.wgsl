// conv_weight_grad_subgroup.wgsl: gradient of a convolution's weights, for adapters where loads are dear.
//
//   dw[split,co,ci,k] = sum over the pixels o of one split of  dy[n,co,o] * x[n,ci, o * S - P + k * DIL]
//
// x, dy     [N, G*CIG, ID, IH, IW], [N, G*COG, OD, OH, OW] f32
//           PACKED = 1: dy by conv_pack_channels.wgsl with PACK = SG, [N, G, COB, OD, OH, OW, SG]. Lanes along channels
//           then read one place, not SG planes, which at power-of-two sizes all compete for the same cache lines.
// dw        [SPLITS, G*COG, CIG, K] f32, summed over SPLITS by conv_reduce.wgsl
// method    lanes hold SG output channels; a thread keeps TC x QV*SG sums, one per column q = (ci, k) of the weights.
//           For each pixel it loads dy with lanes along co, x with lanes along q, and spreads x by subgroupBroadcast.
// grid      [tiles of (co, q), folded over x and y] x [SPLITS]; a split is a range of the N*OD*OH rows of dy
// numerics  f32; every split adds its pixels in one order, so the bits repeat
// source    own work; implicit matrix products as in cuDNN, Chetlur et al. 2014, arXiv:1410.0759
// used by src/kernels/convRun.ts on software adapters
enable subgroups;

const SG: u32 = 8;         // lanes of a subgroup
const SUBS: u32 = 4;       // subgroups per workgroup
const TC: u32 = 4;         // vectors of output channels per thread
const QV: u32 = 2;         // vectors of columns per thread
const G: u32 = 1;
const CIG: u32 = 3;        // input channels per group
const COG: u32 = 8;        // output channels per group
const ID: u32 = 1;
const IH: u32 = 16;
const IW: u32 = 16;
const OD: u32 = 1;
const OH: u32 = 16;
const OW: u32 = 16;
const KD: u32 = 1;
const KH: u32 = 3;
const KW: u32 = 3;
const SD: u32 = 1;         // stride
const SH: u32 = 1;
const SW: u32 = 1;
const PAD_D: i32 = 0;      // zeros before the first voxel
const PAD_H: i32 = 1;
const PAD_W: i32 = 1;
const DD: u32 = 1;         // dilation
const DH: u32 = 1;
const DW: u32 = 1;
const PACKED: u32 = 0;

const COB: u32 = (COG + SG - 1) / SG;
const STEP: u32 = select(1u, SG, PACKED == 1);   // from one pixel of dy to the next
const K: u32 = KD * KH * KW;
const CO_TILES: u32 = (COB + TC - 1) / TC;
const Q: u32 = CIG * K;
const Q_TILES: u32 = (Q + QV * SG - 1) / (QV * SG);
const S: u32 = OD * OH * OW;
const PLANE: u32 = ID * IH * IW;
const_assert SG == 4 || SG == 8;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;

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

@compute @workgroup_size(SG * SUBS)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let tile = (id.y * groups.x + id.x) * SUBS + local / SG;
  let q0 = tile % Q_TILES * (QV * SG);
  let block = tile / Q_TILES % CO_TILES * TC;
  let group = tile / (Q_TILES * CO_TILES);
  let g = min(group, G - 1);   // threads past the end repeat the last group and store nothing

  // The column of each lane: where its channel begins, and its tap relative to the output position.
  var channel: array<u32, QV>;
  var tap: array<vec3i, QV>;
  for (var v = 0u; v < QV; v++) {  // @unroll
    let q = min(q0 + v * SG + lane, Q - 1);
    let k = q % K;
    channel[v] = (g * CIG + q / K) * PLANE;
    tap[v] = vec3i(vec3u(k / (KH * KW) * DD, k / KW % KH * DH, k % KW * DW)) - vec3i(PAD_D, PAD_H, PAD_W);
  }

  let rows = arrayLength(&x) / (G * CIG * PLANE) * (OD * OH);
  let chunk = (rows + groups.z - 1) / groups.z;
  let end = min((id.z + 1) * chunk, rows);

  var sums: array<f32, TC * QV * SG>;
  for (var row = id.z * chunk; row < end; row++) {
    let n = row / (OD * OH);
    let od = row / OH % OD;
    let oh = row % OH;
    var line: array<u32, QV>;      // x at the column's tap row, or a place inside x when that row is outside
    var inside: array<bool, QV>;
    for (var v = 0u; v < QV; v++) {  // @unroll
      let i = vec2u(vec2i(vec2u(od * SD, oh * SH)) + tap[v].xy);   // negative positions wrap to huge ones
      inside[v] = all(i < vec2u(ID, IH));
      line[v] = n * (G * CIG * PLANE) + channel[v] + select(0u, (i.x * IH + i.y) * IW, inside[v]);
    }
    var at: array<u32, TC>;        // dy at the row's first pixel
    for (var t = 0u; t < TC; t++) {  // @unroll
      let pixel = od * (OH * OW) + oh * OW;
      let plane = (n * G + g) * COG + min((block + t) * SG + lane, COG - 1);
      let packed_plane = (n * G + g) * COB + min(block + t, COB - 1);
      at[t] = select(plane * S + pixel, (packed_plane * S + pixel) * SG + lane, PACKED == 1);
    }
    for (var ow = 0u; ow < OW; ow++) {
      var grads: array<f32, TC>;
      for (var t = 0u; t < TC; t++) {  // @unroll
        grads[t] = dy[at[t] + ow * STEP];
      }
      for (var v = 0u; v < QV; v++) {  // @unroll
        let w = u32(i32(ow * SW) + tap[v].z);
        let ok = inside[v] && w < IW;
        let value = select(0.0, x[line[v] + select(0u, w, ok)], ok);
        for (var j = 0u; j < SG; j++) {  // @unroll
          let pixel = spread(value, j);
          for (var t = 0u; t < TC; t++) {  // @unroll
            let s = (t * QV + v) * SG + j;
            sums[s] = fma(grads[t], pixel, sums[s]);
          }
        }
      }
    }
  }

  for (var t = 0u; t < TC; t++) {  // @unroll
    let co = (block + t) * SG + lane;
    for (var j = 0u; j < QV * SG; j++) {  // @unroll
      if (group < G && co < COG && q0 + j < Q) {
        dw[((id.z * G + g) * COG + co) * Q + q0 + j] = sums[t * QV * SG + j];
      }
    }
  }
}
