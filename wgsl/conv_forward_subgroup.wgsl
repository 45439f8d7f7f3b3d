// conv_forward_subgroup.wgsl: convolution, any stride, dilation and groups, for adapters where loads are dear.
//
//   y[n,co,o] = bias[co] + sum over ci, k of  w[co,ci,k] * x[n,ci,i],   i = (o * S - P + k * DIL) / L   per axis
//
// x, y      [N, G*CIG, ID, IH, IW], [N, G*COG, OD, OH, OW] f32; taps where i is no integer or outside x add nothing
// w         packed by conv_pack_weights.wgsl with PACK = SG: [G][COB][K][CIG][SG]
// bias      [G*COG], read when BIAS = 1
// L         1: ordinary convolution. L > 1 (then S = 1): outputs o = phase + L*j are computed phase by phase, which is
//           the input gradient of a convolution of stride L, and the transposed convolution
// method    lanes hold SG output channels; a thread keeps TC x PV*SG sums and spreads pixels by subgroupBroadcast
// grid      [pixel tiles, folded over x and y] x [LD*LH*LW * G * ceil(COB / TC)]
// numerics  f32; the products of an output are added by one thread in one order, so the bits repeat
// source    own work; implicit matrix products as in cuDNN, Chetlur et al. 2014, arXiv:1410.0759
// used by src/kernels/convRun.ts on software adapters
enable subgroups;

const SG: u32 = 8;         // lanes of a subgroup
const SUBS: u32 = 4;       // subgroups per workgroup
const TC: u32 = 4;         // channel vectors per thread
const PV: u32 = 2;         // pixel vectors per thread
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
const PAD_D: i32 = 0;      // zeros before the first voxel; negative crops
const PAD_H: i32 = 1;
const PAD_W: i32 = 1;
const DD: i32 = 1;         // dilation
const DH: i32 = 1;
const DW: i32 = 1;
const LD: i32 = 1;         // fractional stride
const LH: i32 = 1;
const LW: i32 = 1;
const BIAS: u32 = 0;

const COB: u32 = (COG + SG - 1) / SG;
const BLOCKS: u32 = (COB + TC - 1) / TC;
const JD: u32 = (OD + u32(LD) - 1) / u32(LD);   // outputs of one phase
const JH: u32 = (OH + u32(LH) - 1) / u32(LH);
const JW: u32 = (OW + u32(LW) - 1) / u32(LW);
const J: u32 = JD * JH * JW;
const PLANE: u32 = ID * IH * IW;
const_assert SG == 4 || SG == 8;
const_assert (SD == 1 || LD == 1) && (SH == 1 || LH == 1) && (SW == 1 || LW == 1);

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

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
  let pixels = arrayLength(&y) / (G * COG * OD * OH * OW) * J;
  let tile = ((id.y * groups.x + id.x) * SUBS + local / SG) * (PV * SG);
  let block = id.z % BLOCKS * TC;
  let g = id.z / BLOCKS % G;
  let phase = i32(id.z / (BLOCKS * G));
  let phase_d = phase / (LW * LH);
  let phase_h = phase / LW % LH;
  let phase_w = phase % LW;

  // One pixel per lane and vector: where its input begins and its position on each axis.
  var image: array<u32, PV>;
  var at: array<vec3i, PV>;
  for (var v = 0u; v < PV; v++) {  // @unroll
    let p = min(tile + v * SG + lane, pixels - 1);
    image[v] = (p / J * G + g) * (CIG * PLANE);
    at[v] = vec3i(vec3u(p / (JH * JW) % JD * SD, p / JW % JH * SH, p % JW * SW));
  }

  var sums: array<f32, TC * PV * SG>;
  for (var kd = 0; kd < i32(KD); kd++) {
    let d = phase_d - PAD_D + kd * DD;
    if (d % LD != 0) { continue; }
    for (var kh = 0; kh < i32(KH); kh++) {
      let h = phase_h - PAD_H + kh * DH;
      if (h % LH != 0) { continue; }
      for (var kw = 0; kw < i32(KW); kw++) {
        let c = phase_w - PAD_W + kw * DW;
        if (c % LW != 0) { continue; }
        let tap = u32((kd * i32(KH) + kh) * i32(KW) + kw);
        var start: array<u32, PV>;
        var ok: array<bool, PV>;
        for (var v = 0u; v < PV; v++) {  // @unroll
          let i = vec3u(at[v] + vec3i(d / LD, h / LH, c / LW));   // negative positions wrap to huge ones
          ok[v] = all(i < vec3u(ID, IH, IW));
          start[v] = image[v] + select(0u, (i.x * IH + i.y) * IW + i.z, ok[v]);
        }
        for (var ci = 0u; ci < CIG; ci++) {
          var weights: array<f32, TC>;
          for (var t = 0u; t < TC; t++) {  // @unroll
            let packed = (g * COB + min(block + t, COB - 1)) * (KD * KH * KW) + tap;
            weights[t] = w[(packed * CIG + ci) * SG + lane];
          }
          for (var v = 0u; v < PV; v++) {  // @unroll
            let value = select(0.0, x[start[v] + ci * PLANE], ok[v]);
            for (var j = 0u; j < SG; j++) {  // @unroll
              let pixel = spread(value, j);
              for (var t = 0u; t < TC; t++) {  // @unroll
                let s = (t * PV + v) * SG + j;
                sums[s] = fma(weights[t], pixel, sums[s]);
              }
            }
          }
        }
      }
    }
  }

  for (var v = 0u; v < PV; v++) {  // @unroll
    for (var j = 0u; j < SG; j++) {  // @unroll
      let p = tile + v * SG + j;
      let o = vec3u(p / (JH * JW) % JD, p / JW % JH, p % JW) * vec3u(vec3i(LD, LH, LW))
            + vec3u(vec3i(phase_d, phase_h, phase_w));
      if (p < pixels && all(o < vec3u(OD, OH, OW))) {
        for (var t = 0u; t < TC; t++) {  // @unroll
          let co = (block + t) * SG + lane;
          if (co < COG) {
            let b = select(0.0, bias[BIAS * (g * COG + co)], BIAS == 1);
            let plane = ((p / J * G + g) * COG + co) * (OD * OH * OW);
            y[plane + (o.x * OH + o.y) * OW + o.z] = sums[(t * PV + v) * SG + j] + b;
          }
        }
      }
    }
  }
}
