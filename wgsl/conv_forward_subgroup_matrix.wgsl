// conv_forward_subgroup_matrix.wgsl: convolution, any stride, dilation and groups, on the matrix units of a GPU.
//
//   y[n,co,o] = bias[co] + sum over ci, k of  w[co,ci,k] * x[n,ci,i],   i = (o * S - P + k * DIL) / L   per axis
//
// x, y, bias, L   as in conv_forward.wgsl, with all its strides and fractional strides
// w         packed by conv_pack_weights.wgsl with PACK = WM*TM*MM: [G][COB][K][CIG][PACK]
// method    implicit matrix product: rows co, columns pixels, depth (tap, ci). Slabs of DEPTH are staged in workgroup
//           memory as T, with zeros past the edges; each of WM x WN subgroups keeps TM x TN result matrices of MM x NN,
//           which leave through workgroup memory so that the edges are guarded
// grid      [pixel tiles, folded over x and y] x [LD*LH*LW * G * COB]
// numerics  products of T, sums of f32 in an order that the GPU chooses; T = f16 rounds x and w to 11 bits
// source    own work; implicit matrix products as in cuDNN, Chetlur et al. 2014, arXiv:1410.0759; matrix types as in
//           gpuweb's proposal subgroup-matrix and Dawn's docs/dawn/features/subgroup_matrix.md
// used by src/kernels/matrixUnits.ts
enable f16;                // dropped where the code needs no f16
enable chromium_experimental_subgroup_matrix;

alias T = f32;             // components of the operands: f32 or f16
const MM: u32 = 8;         // one step of the matrix unit: MM x KK by KK x NN
const NN: u32 = 8;
const KK: u32 = 8;
const SG: u32 = 32;        // most lanes of a subgroup
const WM: u32 = 2;         // subgroups of a workgroup, along output channels and pixels
const WN: u32 = 2;
const TM: u32 = 4;         // result matrices of a subgroup, along output channels and pixels
const TN: u32 = 4;
const TK: u32 = 4;         // steps per slab
const SKEW: u32 = 4;       // elements between staged rows: 16 bytes, so that rows start in other banks and aligned
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

const WG: u32 = WM * WN * SG;
const BM: u32 = WM * TM * MM;   // output channels of a tile
const BN: u32 = WN * TN * NN;   // pixels of a tile
const DEPTH: u32 = TK * KK;
const W_ROW: u32 = BM + SKEW;
const X_ROW: u32 = BN + SKEW;
const COB: u32 = (COG + BM - 1) / BM;
const K: u32 = KD * KH * KW;
const JD: u32 = (OD + u32(LD) - 1) / u32(LD);   // outputs of one phase
const JH: u32 = (OH + u32(LH) - 1) / u32(LH);
const JW: u32 = (OW + u32(LW) - 1) / u32(LW);
const J: u32 = JD * JH * JW;
const PLANE: u32 = ID * IH * IW;
const_assert WG % BN == 0;   // a thread loads one pixel's column
const_assert (SD == 1 || LD == 1) && (SH == 1 || LH == 1) && (SW == 1 || LW == 1);
alias Left = subgroup_matrix_left<T, KK, MM>;
alias Right = subgroup_matrix_right<T, NN, KK>;
alias Result = subgroup_matrix_result<f32, NN, MM>;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

var<workgroup> sh_w: array<T, DEPTH * W_ROW>;         // [DEPTH, BM]: w column by column
var<workgroup> sh_x: array<T, DEPTH * X_ROW>;         // [DEPTH, BN]
var<workgroup> sh_y: array<f32, WM * WN * MM * NN>;   // one result matrix of each subgroup
var<workgroup> sh_taps: array<u32, K>;                // the taps that meet this phase
var<workgroup> sh_count: u32;

// Where tap `k` reads, before the division by L, relative to the first output of the phase.
fn tap_at(k: u32, phase: vec3i) -> vec3i {
  return phase - vec3i(PAD_D, PAD_H, PAD_W) + vec3i(vec3u(k / (KH * KW), k / KW % KH, k % KW)) * vec3i(DD, DH, DW);
}

// Result matrix `t` of every subgroup, from sh_y to y. `at` is [group, block of channels, first pixel].
fn copy_out(t: u32, at: vec3u, pixels: u32, phase: vec3i, local: u32) {
  for (var i = local; i < WM * WN * MM * NN; i += WG) {
    let s = i / (MM * NN);
    let co = at.y * BM + (s / WN * TM + t / TN) * MM + i / NN % MM;
    let q = at.z + (s % WN * TN + t % TN) * NN + i % NN;
    let o = vec3u(q / (JH * JW) % JD, q / JW % JH, q % JW) * vec3u(vec3i(LD, LH, LW)) + vec3u(phase);
    if (co < COG && q < pixels && all(o < vec3u(OD, OH, OW))) {
      let plane = ((q / J * G + at.x) * COG + co) * (OD * OH * OW);
      let b = select(0.0, bias[BIAS * (at.x * COG + co)], BIAS == 1);
      y[plane + (o.x * OH + o.y) * OW + o.z] = sh_y[i] + b;
    }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32) {
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

  // Where the driver runs smaller subgroups than SG there are more of them; the others only move data.
  let multiplies = subgroup < WM * WN;
  let row = subgroup / WN * (TM * MM);
  let column = subgroup % WN * (TN * NN);
  var sums: array<Result, TM * TN>;
  for (var k0 = 0u; k0 < depth; k0 += DEPTH) {
    for (var e = local; e < DEPTH * BM; e += WG) {
      let k = k0 + e / BM;
      let source = sh_taps[min(k / CIG, K - 1)] * CIG + k % CIG;
      let value = select(0.0, w[((g * COB + block) * (K * CIG) + source) * BM + e % BM], k < depth);
      sh_w[e / BM * W_ROW + e % BM] = T(value);
    }
    for (var r = local / BN; r < DEPTH; r += WG / BN) {
      let k = k0 + r;
      let i = vec3u(at + tap_at(sh_taps[min(k / CIG, K - 1)], phase) / vec3i(LD, LH, LW));   // negative ones wrap
      let ok = k < depth && all(i < vec3u(ID, IH, IW));
      let place = image + k % CIG * PLANE + (i.x * IH + i.y) * IW + i.z;
      sh_x[r * X_ROW + local % BN] = T(select(0.0, x[select(0u, place, ok)], ok));
    }
    workgroupBarrier();
    if (multiplies) {
      for (var k = 0u; k < DEPTH; k += KK) {
        var left: array<Left, TM>;
        for (var i = 0u; i < TM; i++) {  // @unroll
          left[i] = subgroupMatrixLoad<Left, col_major>(&sh_w, k * W_ROW + row + i * MM, W_ROW);
        }
        for (var j = 0u; j < TN; j++) {  // @unroll
          let right = subgroupMatrixLoad<Right, row_major>(&sh_x, k * X_ROW + column + j * NN, X_ROW);
          for (var i = 0u; i < TM; i++) {  // @unroll
            sums[i * TN + j] = subgroupMatrixMultiplyAccumulate(left[i], right, sums[i * TN + j]);
          }
        }
      }
    }
    workgroupBarrier();
  }

  for (var t = 0u; t < TM * TN; t++) {  // @unroll
    if (multiplies) {
      subgroupMatrixStore<row_major>(&sh_y, subgroup * (MM * NN), sums[t], NN);
    }
    workgroupBarrier();
    copy_out(t, vec3u(g, block, tile), pixels, phase, local);
    workgroupBarrier();
  }
}
