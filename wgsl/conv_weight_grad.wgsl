// conv_weight_grad.wgsl: gradient of a convolution's weights, as a matrix product in workgroup tiles.
//
//   dw[split,co,ci,k] = sum over the pixels o of one split of  dy[n,co,o] * x[n,ci, o * S - P + k * DIL]
//
// x, dy     [N, G*CIG, ID, IH, IW], [N, G*COG, OD, OH, OW] f32
// dw        [SPLITS, G*COG, CIG, K] f32, summed over SPLITS by conv_reduce.wgsl
// method    rows co, columns q = (ci, k), depth pixels of all images; each thread keeps TM x TN sums
// grid      [column tiles, row tiles * G, SPLITS]
// numerics  f32; every split adds its pixels in one order, so the bits repeat
// source    own work; implicit matrix products as in cuDNN, Chetlur et al. 2014, arXiv:1410.0759
// used by src/kernels/convRun.ts
const TM: u32 = 8;         // output channels per thread
const TN: u32 = 8;         // columns per thread
const WY: u32 = 8;         // threads along output channels
const WX: u32 = 8;         // threads along columns
const BK: u32 = 16;        // pixels of a tile
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

const WG: u32 = WX * WY;
const BM: u32 = TM * WY;   // output channels of a tile
const BN: u32 = TN * WX;   // columns of a tile
const K: u32 = KD * KH * KW;
const Q: u32 = CIG * K;
const ROW_TILES: u32 = (COG + BM - 1) / BM;
const S: u32 = OD * OH * OW;
const PLANE: u32 = ID * IH * IW;
const_assert WG % BK == 0;   // a thread always loads the same pixel of a tile

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;

var<workgroup> sh_dy: array<f32, BK * (BM + 1)>;   // one more per line, so that neighbours fall into different banks
var<workgroup> sh_x: array<f32, BK * (BN + 1)>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let q0 = id.x * BN;
  let co0 = id.y % ROW_TILES * BM;
  let g = id.y / ROW_TILES;
  let pixels = arrayLength(&dy) / (G * COG * S) * S;
  let chunk = (pixels + groups.z - 1) / groups.z;
  let end = min((id.z + 1) * chunk, pixels);

  let tx = local % WX;
  let ty = local / WX;
  let r = local % BK;
  var sums: array<f32, TM * TN>;
  for (var p0 = id.z * chunk; p0 < end; p0 += BK) {
    let p = min(p0 + r, pixels - 1);
    let live = p0 + r < end;
    let n = p / S;
    for (var m = local / BK; m < BM; m += WG / BK) {
      let co = min(co0 + m, COG - 1);
      sh_dy[r * (BM + 1) + m] = dy[((n * G + g) * COG + co) * S + p % S];   // past the end x is 0
    }
    let first = vec3i(vec3u(p / (OH * OW) % OD * SD, p / OW % OH * SH, p % OW * SW)) - vec3i(PAD_D, PAD_H, PAD_W);
    for (var c = local / BK; c < BN; c += WG / BK) {
      let q = min(q0 + c, Q - 1);
      let i = vec3u(first) + vec3u(q % K / (KH * KW) * DD, q / KW % KH * DH, q % KW * DW);   // negative ones wrap
      let ok = live && all(i < vec3u(ID, IH, IW));
      let place = ((n * G + g) * CIG + q / K) * PLANE + (i.x * IH + i.y) * IW + i.z;
      sh_x[r * (BN + 1) + c] = select(0.0, x[select(0u, place, ok)], ok);
    }
    workgroupBarrier();
    for (var k = 0u; k < BK; k++) {
      var b: array<f32, TN>;
      for (var j = 0u; j < TN; j++) {
        b[j] = sh_x[k * (BN + 1) + tx + j * WX];
      }
      for (var i = 0u; i < TM; i++) {
        let a = sh_dy[k * (BM + 1) + ty + i * WY];
        for (var j = 0u; j < TN; j++) {
          sums[i * TN + j] = fma(a, b[j], sums[i * TN + j]);
        }
      }
    }
    workgroupBarrier();
  }

  for (var i = 0u; i < TM; i++) {
    let co = co0 + ty + i * WY;
    for (var j = 0u; j < TN; j++) {
      let q = q0 + tx + j * WX;
      if (co < COG && q < Q) {
        dw[((id.z * G + g) * COG + co) * Q + q] = sums[i * TN + j];
      }
    }
  }
}
