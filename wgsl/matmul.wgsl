// matmul.wgsl: matrix product through workgroup tiles.
//
//   y[z,m,n] = bias[n] + sum over k of a[z,m,k] * b[z,k,n]
//
// a, b      any layout: element (m, k) of a lies at m * AM + k * AK, element (k, n) of b at k * BK + n * BN
// y         [BATCH, M, N] f32, contiguous; M and K follow from the buffer sizes
// z         folds out into three batch dimensions (Z1, Z2 inner ones), walked with strides A0-A2 and B0-B2; 0 repeats
// bias      [N], read when BIAS = 1
// method    a workgroup computes TM x TN outputs, a thread RM x RN of them; slabs of KT are staged in workgroup memory
// grid      [tiles, folded over x and y] x [BATCH]
// numerics  f32; the products of an output are added by one thread in one order
// source    own work
// used by src/kernels/matmulRun.ts
const TM: u32 = 64;
const TN: u32 = 64;
const RM: u32 = 4;
const RN: u32 = 4;
const KT: u32 = 16;
const N: u32 = 64;
const BATCH: u32 = 1;
const A_MATRICES: u32 = 1;   // matrices stored in a
const AM: u32 = 64;
const AK: u32 = 1;
const BK: u32 = 64;
const BN: u32 = 1;
const Z1: u32 = 1;
const Z2: u32 = 1;
const A0: u32 = 0;
const A1: u32 = 0;
const A2: u32 = 0;
const B0: u32 = 0;
const B1: u32 = 0;
const B2: u32 = 0;
const BIAS: u32 = 0;

const WN: u32 = TN / RN;     // threads across
const WG: u32 = TM / RM * WN;
const TILES_N: u32 = (N + TN - 1) / TN;
const_assert WG <= 256 && TM % RM == 0 && TN % RN == 0 && KT * (TM + TN) * 4 <= 16384;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

var<workgroup> sh_a: array<f32, KT * TM>;   // [KT, TM]
var<workgroup> sh_b: array<f32, KT * TN>;   // [KT, TN]

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let rows = arrayLength(&y) / (BATCH * N);
  let depth = arrayLength(&a) / (A_MATRICES * rows);
  let tile = id.y * groups.x + id.x;
  let m0 = tile / TILES_N * TM;
  let n0 = tile % TILES_N * TN;
  let z = vec3u(id.z / (Z1 * Z2), id.z / Z2 % Z1, id.z % Z2);
  let a_start = z.x * A0 + z.y * A1 + z.z * A2;
  let b_start = z.x * B0 + z.y * B1 + z.z * B2;
  let row = local / WN * RM;
  let column = local % WN;      // of every WN-th one, so that neighbours read neighbours

  var sums: array<f32, RM * RN>;
  for (var k0 = 0u; k0 < depth; k0 += KT) {
    for (var i = local; i < KT * TM; i += WG) {
      // Neighbouring threads load along whichever direction is contiguous.
      let k = select(i / TM, i % KT, AK == 1);
      let m = select(i % TM, i / KT, AK == 1);
      let inside = k0 + k < depth && m0 + m < rows;
      let at = select(0u, a_start + (m0 + m) * AM + (k0 + k) * AK, inside);
      sh_a[k * TM + m] = select(0.0, a[at], inside);
    }
    for (var i = local; i < KT * TN; i += WG) {
      let k = select(i / TN, i % KT, BK == 1);
      let n = select(i % TN, i / KT, BK == 1);
      let inside = k0 + k < depth && n0 + n < N;
      let at = select(0u, b_start + (k0 + k) * BK + (n0 + n) * BN, inside);
      sh_b[k * TN + n] = select(0.0, b[at], inside);
    }
    workgroupBarrier();
    for (var k = 0u; k < KT; k++) {
      var bs: array<f32, RN>;
      for (var c = 0u; c < RN; c++) { bs[c] = sh_b[k * TN + column + c * WN]; }
      for (var r = 0u; r < RM; r++) {
        let value = sh_a[k * TM + row + r];
        for (var c = 0u; c < RN; c++) { sums[r * RN + c] = fma(value, bs[c], sums[r * RN + c]); }
      }
    }
    workgroupBarrier();
  }

  for (var r = 0u; r < RM; r++) {
    let m = m0 + row + r;
    for (var c = 0u; c < RN; c++) {
      let n = n0 + column + c * WN;
      if (m < rows && n < N) {
        y[(id.z * rows + m) * N + n] = sums[r * RN + c] + select(0.0, bias[BIAS * n], BIAS == 1);
      }
    }
  }
}
