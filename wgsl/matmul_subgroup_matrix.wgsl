// matmul_subgroup_matrix.wgsl: matrix product on the matrix units of a GPU.
//
//   y[z,m,n] = bias[n] + sum over k of a[z,m,k] * b[z,k,n]
//
// a, b, y, z, bias   as in matmul.wgsl
// method    slabs of DEPTH are staged in workgroup memory as T, with zeros past the edges; each of WM x WN subgroups
//           keeps TM x TN result matrices of MM x NN, which leave through workgroup memory so that the edges are guarded
// grid      [tiles, folded over x and y] x [BATCH]
// numerics  products of T, sums of f32 in an order that the GPU chooses; T = f16 rounds a and b to 11 bits
// source    own work; matrix types as in gpuweb's proposal subgroup-matrix and Dawn's docs/dawn/features/subgroup_matrix.md
// used by src/kernels/matrixUnits.ts
enable f16;                  // dropped where the code needs no f16
enable chromium_experimental_subgroup_matrix;

alias T = f32;               // components of the operands: f32 or f16
const MM: u32 = 8;           // one step of the matrix unit: MM x KK by KK x NN
const NN: u32 = 8;
const KK: u32 = 8;
const SG: u32 = 32;          // most lanes of a subgroup
const WM: u32 = 2;           // subgroups of a workgroup, down and across
const WN: u32 = 2;
const TM: u32 = 4;           // result matrices of a subgroup, down and across
const TN: u32 = 4;
const TK: u32 = 4;           // steps per slab
const SKEW: u32 = 4;         // elements between staged rows: 16 bytes, so that rows start in other banks and aligned
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

const WG: u32 = WM * WN * SG;
const ROWS: u32 = WM * TM * MM;      // of a workgroup's tile
const COLUMNS: u32 = WN * TN * NN;
const DEPTH: u32 = TK * KK;
const A_ROW: u32 = DEPTH + SKEW;
const B_ROW: u32 = COLUMNS + SKEW;
const TILES_N: u32 = (N + COLUMNS - 1) / COLUMNS;
alias Left = subgroup_matrix_left<T, KK, MM>;
alias Right = subgroup_matrix_right<T, NN, KK>;
alias Result = subgroup_matrix_result<f32, NN, MM>;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

var<workgroup> sh_a: array<T, ROWS * A_ROW>;             // [ROWS, DEPTH]
var<workgroup> sh_b: array<T, DEPTH * B_ROW>;            // [DEPTH, COLUMNS]
var<workgroup> sh_y: array<f32, WM * WN * MM * NN>;      // one result matrix of each subgroup

// Result matrix `t` of every subgroup, from sh_y to y.
fn copy_out(t: u32, z: u32, rows: u32, m0: u32, n0: u32, local: u32) {
  for (var i = local; i < WM * WN * MM * NN; i += WG) {
    let s = i / (MM * NN);
    let m = m0 + (s / WN * TM + t / TN) * MM + i / NN % MM;
    let n = n0 + (s % WN * TN + t % TN) * NN + i % NN;
    if (m < rows && n < N) {
      y[(z * rows + m) * N + n] = sh_y[i] + select(0.0, bias[BIAS * n], BIAS == 1);
    }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32) {
  let rows = arrayLength(&y) / (BATCH * N);
  let depth = arrayLength(&a) / (A_MATRICES * rows);
  let tile = id.y * groups.x + id.x;
  let m0 = tile / TILES_N * ROWS;
  let n0 = tile % TILES_N * COLUMNS;
  let z = vec3u(id.z / (Z1 * Z2), id.z / Z2 % Z1, id.z % Z2);
  let a_start = z.x * A0 + z.y * A1 + z.z * A2;
  let b_start = z.x * B0 + z.y * B1 + z.z * B2;
  // Where the driver runs smaller subgroups than SG there are more of them; the others only move data.
  let multiplies = subgroup < WM * WN;
  let row = subgroup / WN * (TM * MM);
  let column = subgroup % WN * (TN * NN);

  var sums: array<Result, TM * TN>;
  for (var k0 = 0u; k0 < depth; k0 += DEPTH) {
    for (var i = local; i < ROWS * DEPTH; i += WG) {
      // Neighbouring threads load along whichever direction is contiguous.
      let k = select(i / ROWS, i % DEPTH, AK == 1);
      let m = select(i % ROWS, i / DEPTH, AK == 1);
      let inside = k0 + k < depth && m0 + m < rows;
      let at = select(0u, a_start + (m0 + m) * AM + (k0 + k) * AK, inside);
      sh_a[m * A_ROW + k] = T(select(0.0, a[at], inside));
    }
    for (var i = local; i < DEPTH * COLUMNS; i += WG) {
      let k = select(i / COLUMNS, i % DEPTH, BK == 1);
      let n = select(i % COLUMNS, i / DEPTH, BK == 1);
      let inside = k0 + k < depth && n0 + n < N;
      let at = select(0u, b_start + (k0 + k) * BK + (n0 + n) * BN, inside);
      sh_b[k * B_ROW + n] = T(select(0.0, b[at], inside));
    }
    workgroupBarrier();
    if (multiplies) {
      for (var k = 0u; k < DEPTH; k += KK) {
        var left: array<Left, TM>;
        for (var i = 0u; i < TM; i++) {  // @unroll
          left[i] = subgroupMatrixLoad<Left, row_major>(&sh_a, (row + i * MM) * A_ROW + k, A_ROW);
        }
        for (var j = 0u; j < TN; j++) {  // @unroll
          let right = subgroupMatrixLoad<Right, row_major>(&sh_b, k * B_ROW + column + j * NN, B_ROW);
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
    copy_out(t, id.z, rows, m0, n0, local);
    workgroupBarrier();
  }
}
