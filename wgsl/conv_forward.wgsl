// conv_forward.wgsl: convolution, any stride, dilation and groups, as a matrix product in workgroup tiles.
//
//   y[n,co,o] = bias[co] + sum over ci, k of  w[co,ci,k] * x[n,ci,i],   i = (o * S - P + k * DIL) / L   per axis
//
// x, y      [N, G*CIG, ID, IH, IW], [N, G*COG, OD, OH, OW] f32; taps where i is no integer or outside x add nothing
// w         packed by conv_pack_weights.wgsl with PACK = TM*WY: [G][COB][K][CIG][PACK]
// bias      [G*COG], read when BIAS = 1
// L         1: ordinary convolution. L > 1 (then S = 1): outputs o = phase + L*j are computed phase by phase, which is
//           the input gradient of a convolution of stride L, and the transposed convolution
// method    implicit matrix product: rows co, columns pixels, depth (tap, ci); each thread keeps TM x TN sums
// grid      [pixel tiles, folded over x and y] x [LD*LH*LW * G * COB]
// numerics  f32; the products of an output are added by one thread in one order, so the bits repeat
// source    own work; implicit matrix products as in cuDNN, Chetlur et al. 2014, arXiv:1410.0759
// used by src/kernels/convRun.ts
const TM: u32 = 8;         // output channels per thread
const TN: u32 = 8;         // pixels per thread
const WY: u32 = 8;         // threads along output channels
const WX: u32 = 8;         // threads along pixels
const BK: u32 = 16;        // depth of a tile
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

const WG: u32 = WX * WY;
const BM: u32 = TM * WY;   // output channels of a tile
const BN: u32 = TN * WX;   // pixels of a tile
const COB: u32 = (COG + BM - 1) / BM;
const K: u32 = KD * KH * KW;
const JD: u32 = (OD + u32(LD) - 1) / u32(LD);   // outputs of one phase
const JH: u32 = (OH + u32(LH) - 1) / u32(LH);
const JW: u32 = (OW + u32(LW) - 1) / u32(LW);
const J: u32 = JD * JH * JW;
const PLANE: u32 = ID * IH * IW;
const_assert WG % BN == 0;   // a thread loads one pixel's column
const_assert (SD == 1 || LD == 1) && (SH == 1 || LH == 1) && (SW == 1 || LW == 1);

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

var<workgroup> sh_w: array<f32, BK * BM>;
var<workgroup> sh_x: array<f32, BK * BN>;
var<workgroup> sh_taps: array<u32, K>;   // the taps that meet this phase
var<workgroup> sh_count: u32;

// Where tap `k` reads, before the division by L, relative to the first output of the phase.
fn tap_at(k: u32, phase: vec3i) -> vec3i {
  return phase - vec3i(PAD_D, PAD_H, PAD_W) + vec3i(vec3u(k / (KH * KW), k / KW % KH, k % KW)) * vec3i(DD, DH, DW);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let pixels = arrayLength(&y) / (G * COG * OD * OH * OW) * J;
  let tile = (id.y * groups.x + id.x) * BN;
  let block = id.z % COB;
  let g = id.z / COB % G;
  let number = i32(id.z / (COB * G));
  let phase = vec3i(number / (LW * LH), number / LW % LH, number % LW);

  if (local == 0) {
    sh_count = 0;
    for (var k = 0u; k < K; k++) {
      if (all(tap_at(k, phase) % vec3i(LD, LH, LW) == vec3i(0))) {
        sh_taps[sh_count] = k;
        sh_count++;
      }
    }
  }
  let depth = workgroupUniformLoad(&sh_count) * CIG;

  // The pixel whose column this thread loads.
  let p = min(tile + local % BN, pixels - 1);
  let image = (p / J * G + g) * (CIG * PLANE);
  let at = vec3i(vec3u(p / (JH * JW) % JD * SD, p / JW % JH * SH, p % JW * SW));

  let tx = local % WX;
  let ty = local / WX;
  var sums: array<f32, TM * TN>;
  for (var k0 = 0u; k0 < depth; k0 += BK) {
    for (var e = local; e < BK * BM; e += WG) {
      let k = k0 + e / BM;
      let row = sh_taps[min(k / CIG, K - 1)] * CIG + k % CIG;
      sh_w[e] = select(0.0, w[((g * COB + block) * (K * CIG) + row) * BM + e % BM], k < depth);
    }
    for (var r = local / BN; r < BK; r += WG / BN) {
      let k = k0 + r;
      let i = vec3u(at + tap_at(sh_taps[min(k / CIG, K - 1)], phase) / vec3i(LD, LH, LW));   // negative ones wrap
      let ok = k < depth && all(i < vec3u(ID, IH, IW));
      let place = image + k % CIG * PLANE + (i.x * IH + i.y) * IW + i.z;
      sh_x[r * BN + local % BN] = select(0.0, x[select(0u, place, ok)], ok);
    }
    workgroupBarrier();
    for (var k = 0u; k < BK; k++) {
      var b: array<f32, TN>;
      for (var j = 0u; j < TN; j++) {
        b[j] = sh_x[k * BN + tx + j * WX];
      }
      for (var i = 0u; i < TM; i++) {
        let a = sh_w[k * BM + ty + i * WY];
        for (var j = 0u; j < TN; j++) {
          sums[i * TN + j] = fma(a, b[j], sums[i * TN + j]);
        }
      }
    }
    workgroupBarrier();
  }

  for (var j = 0u; j < TN; j++) {
    let q = tile + tx + j * WX;
    let o = vec3u(q / (JH * JW) % JD, q / JW % JH, q % JW) * vec3u(vec3i(LD, LH, LW)) + vec3u(phase);
    if (q < pixels && all(o < vec3u(OD, OH, OW))) {
      for (var i = 0u; i < TM; i++) {
        let co = block * BM + ty + i * WY;
        if (co < COG) {
          let b = select(0.0, bias[BIAS * (g * COG + co)], BIAS == 1);
          let plane = ((q / J * G + g) * COG + co) * (OD * OH * OW);
          y[plane + (o.x * OH + o.y) * OW + o.z] = sums[i * TN + j] + b;
        }
      }
    }
  }
}
